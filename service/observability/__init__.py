"""What we see. Decides nothing: observers are shown every event and command, in one place (session.py)."""
