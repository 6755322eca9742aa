"""What the tests of the simulated call begin with."""

import pytest

from tests.simulator.played import Played


@pytest.fixture
def line() -> Played:
    """A call whose agent lets the caller start."""
    played = Played()
    played.config(transcript_with_tool_calls=True)
    played.says(0, "")
    return played
