"""Frames that no platform should send. None of them may change anything but a count."""

import json
from random import Random


def drawn(chance: Random, newest_turn: int | None) -> str | bytes:
    """One of them. `newest_turn` is the newest that was asked on this line: a request that is not newer is ignored."""
    if newest_turn is not None and chance.random() < 0.2:  # noqa: PLR2004  a share
        return _request(chance.choice(("response_required", "reminder_required")), chance.randint(-3, newest_turn))
    return chance.choice(
        (
            "",
            "{",
            "[]",
            "null",
            "\x00",
            b"\xff\xfe",
            '{"interaction_type":"response_required"}',
            '{"interaction_type":"response_required","response_id":"three"}',
            '{"interaction_type":"response_required","response_id":1e400}',
            '{"interaction_type":"ping_pong","timestamp":"now"}',
            '{"interaction_type":"call_details","call":{"call_id":"call_of_another"}}',
            '{"interaction_type":"call_details","call":7}',
            '{"interaction_type":"weather_report","wind":34}',
            '{"interaction_type":"update_only","transcript":{"role":"user"}}',
            "[" * 2000,
        )
    )


def _request(kind: str, turn_id: int) -> str:
    return json.dumps({"interaction_type": kind, "response_id": turn_id, "transcript": None})
