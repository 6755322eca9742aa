"""The history that calls of a load run begin with. What they send is seen in test_load."""

from random import Random

import msgspec

from service.platforms.retell import messages
from service.simulator import load_talk
from service.simulator.retell_speech import Word

SEEDED = Random(1)  # noqa: S311  no secret


class Row(msgspec.Struct):
    role: str
    content: str
    words: list[Word]


def test_a_history_is_as_long_as_it_says_and_dense() -> None:
    rows = msgspec.json.decode(msgspec.json.encode(load_talk.history(10, SEEDED)), type=list[Row])
    words = [word for row in rows for word in row.words]
    assert 590 < words[-1].end < 620
    assert 1000 < len(words) < 1620
    assert [row.role for row in rows[:3]] == ["agent", "user", "agent"]
    assert all(row.content.split() == [word.word for word in row.words] for row in rows)
    assert load_talk.history(0, SEEDED) == []


def test_a_history_is_read_as_the_platforms() -> None:
    rows = load_talk.history(0.1, SEEDED)
    frame = {"interaction_type": "response_required", "response_id": 7, "transcript": rows}
    asked = messages.decode(msgspec.json.encode(frame))
    assert isinstance(asked, messages.ResponseRequired)
    assert asked.transcript is not None
    assert asked.transcript[0].role == "agent"
