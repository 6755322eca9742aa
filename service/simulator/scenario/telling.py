"""What came of scenarios: for a terminal, as JSON, and as JUnit's XML, which build servers read."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
from msgspec import Struct

from service.simulator import retell_steps as steps
from service.simulator.scenario.drawing import drawn
from service.simulator.scenario.script import Scenario
from service.simulator.scenario.timeline import Failure, Settled, Timeline


class PlayedTurn(Struct, frozen=True, omit_defaults=True):
    """One answer. Times are milliseconds from its request."""

    turn_id: int
    said: str
    first_words: float | None = None
    first_sentence: float | None = None
    final: float | None = None
    outcome: str | None = None


class Played(Struct, frozen=True):
    """One scenario that was played, or was not."""

    file: str
    name: str
    failures: tuple[str, ...] = ()
    skipped: str | None = None
    """Why it was not played."""
    turns: tuple[PlayedTurn, ...] = ()
    call_seconds: float = 0.0
    took: float = 0.0
    """Seconds of this machine."""
    digest: str = ""
    """Of all frames with their moments: the same each time in virtual time."""
    drawing: str = ""
    """The call, where something failed."""
    log: tuple[dict[str, Any], ...] = ()

    @property
    def is_passed(self) -> bool:
        return not self.failures and self.skipped is None


def played(
    file: Path, scenario: Scenario, timeline: Timeline, failures: Sequence[Failure], *, keeps_log: bool
) -> Played:
    """What came of it."""
    return Played(
        str(file),
        scenario.name,
        tuple(map(str, failures)),
        turns=tuple(_turn(timeline, turn_id) for turn_id in _turn_ids(timeline)),
        call_seconds=round(timeline.moments[-1][0] if timeline.moments else 0.0, 3),
        digest=digest_of(timeline),
        drawing=drawn(timeline, failures) if failures and timeline.refused is None else "",
        log=tuple(dict(line) for line in timeline.log) if keeps_log else (),
    )


def digest_of(timeline: Timeline) -> str:
    """Sixteen hexadecimal digits that change with any step, frame or moment, and with what the model was asked."""
    digest = hashlib.sha256()
    for at, what in timeline.moments:
        digest.update(f"{at:.6f} {what!r}\n".encode())
    for request in timeline.requests:
        digest.update(f"{request.at:.6f}\n".encode() + request.body)
    return digest.hexdigest()[:16]


def _turn_ids(timeline: Timeline) -> list[int]:
    return [0, *(what.turn_id for _, what in timeline.of(steps.TurnAsked))] if timeline.refused is None else []


def _turn(timeline: Timeline, turn_id: int) -> PlayedTurn:
    chunks = timeline.of_turn(steps.ChunkArrived, turn_id)
    begun, ended = timeline.of_turn(steps.SpeechStarted, turn_id), timeline.of_turn(steps.TurnFinished, turn_id)
    settled = timeline.of_turn(Settled, turn_id)
    return PlayedTurn(
        turn_id,
        "".join(chunk.text for chunk in chunks),
        _ms(chunks[0].waited if chunks else None),
        _ms(begun[0].waited if begun else None),
        _ms(ended[0].after if ended else None),
        settled[0].outcome if settled else None,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def told(each: Played) -> str:
    """For a terminal: one line, and where something failed, what, and the call."""
    if each.skipped is not None:
        return f"- {each.name}  (skipped: {each.skipped})"
    if each.is_passed:
        return f"✓ {each.name}"
    failures = "\n".join(f"    ✗ {failure}" for failure in each.failures)
    return f"✗ {each.name}\n    {each.file}\n{failures}\n" + (f"\n{each.drawing}\n" if each.drawing else "")


def summed_up(results: Sequence[Played], took: float) -> str:
    """One line."""
    passed, skipped = sum(each.is_passed for each in results), sum(each.skipped is not None for each in results)
    failed = len(results) - passed - skipped
    parts = [
        f"{passed} passed",
        *([f"{failed} failed"] if failed else []),
        *([f"{skipped} skipped"] if skipped else []),
    ]
    minutes = sum(each.call_seconds for each in results) / 60
    return f"{', '.join(parts)}: {minutes:.1f} minutes of calls in {took:.1f} s"


def json_of(results: Sequence[Played], took: float) -> bytes:
    """All of it, without logs and drawings."""
    counted = {"passed": sum(each.is_passed for each in results), "took": round(took, 3)}
    counted |= {"failed": sum(bool(each.failures) for each in results)}
    counted |= {"skipped": sum(each.skipped is not None for each in results)}
    rows = [msgspec.structs.replace(each, log=(), took=round(each.took, 3)) for each in results]
    return msgspec.json.format(msgspec.json.encode({**counted, "scenarios": rows})) + b"\n"


def junit_of(results: Sequence[Played], took: float) -> bytes:
    """As JUnit's XML."""
    counts = {"tests": len(results), "failures": sum(bool(each.failures) for each in results)}
    counts |= {"errors": 0, "skipped": sum(each.skipped is not None for each in results)}
    suite = ET.Element("testsuite", {"name": "cuebox simulate", **{name: str(n) for name, n in counts.items()}})
    suite.set("time", f"{took:.3f}")
    for each in results:
        about = {"classname": str(Path(each.file).with_suffix("")), "name": each.name, "time": f"{each.took:.3f}"}
        case = ET.SubElement(suite, "testcase", {**{name: _clean(text) for name, text in about.items()}})
        if each.skipped is not None:
            ET.SubElement(case, "skipped", message=_clean(each.skipped))
        if each.failures:
            failure = ET.SubElement(case, "failure", message=_clean(each.failures[0]))
            failure.text = _clean("\n".join([*each.failures, "", each.drawing]))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return _NOT_XML.sub("�", text)
