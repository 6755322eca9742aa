"""What answers. An agent is a folder: `receptionist` is the one to copy, and `cuebox new` copies it."""
