"""When a line that says nothing is given up (rule 12)."""

PINGED_LINE = 8.0
"""Seconds without any frame, on a line on which pings had come."""

UNPINGED_LINE = 600.0
"""The same, on a line on which none ever did: somebody may be typing there by hand."""

OWN_STALL = 1.0
"""A deadline that passes this much later than it was set for tells of a stall of our own (seconds)."""


class Silence:
    """How long the other side of a line has said nothing. The deadline moves when it passes, not with each frame."""

    __slots__ = ("_is_pinged", "_last_frame_at", "_until")

    def __init__(self, at: float) -> None:
        self._is_pinged = False
        self._last_frame_at = at
        self._until = at + UNPINGED_LINE

    @property
    def until(self) -> float:
        """When to look again."""
        return self._until

    def broken(self, at: float) -> None:
        """A frame came."""
        self._last_frame_at = at

    def pinged(self, at: float) -> bool:
        """A ping came; whether it was the first, which moves the deadline."""
        if self._is_pinged:
            return False
        self._is_pinged = True
        self._until = at + PINGED_LINE
        return True

    def lasts(self, at: float) -> bool:
        """Whether the line is to be given up; if not, the deadline was moved."""
        is_over_at = self._last_frame_at + (PINGED_LINE if self._is_pinged else UNPINGED_LINE)
        if at < is_over_at:
            self._until = is_over_at
        elif at > self._until + OWN_STALL:  # it was us who stood still: what they sent waits to be read
            self._until = at + OWN_STALL
        else:
            return True
        return False
