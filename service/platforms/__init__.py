"""Who is on the line. A platform turns its frames into events and our commands into frames; no I/O here."""
