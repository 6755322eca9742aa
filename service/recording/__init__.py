"""Calls kept on disk, to be played again: what is kept of them (recorder, streams), how it is read and compared."""
