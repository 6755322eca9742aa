"""What answers. A folder an agent: copy `receptionist`, change it, and name it in `registry`."""
