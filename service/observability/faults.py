"""What may be told of an exception: its class and its place. Its words may quote a caller."""

import traceback


def innermost(error: BaseException) -> BaseException:
    """The error itself, of a group of one or more."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def where(error: BaseException) -> str:
    """The innermost functions and lines."""
    frames = traceback.extract_tb(innermost(error).__traceback__)[-3:]
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
