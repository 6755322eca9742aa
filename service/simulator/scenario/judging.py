"""Says what of a scenario's expectations did not come true, in plain sentences."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from service.simulator import retell_steps as steps
from service.simulator.scenario.answers import compiled
from service.simulator.scenario.expectations import Call, Reply, Within, Words, is_within
from service.simulator.scenario.promises import broken_promises, is_overtaken
from service.simulator.scenario.reading import listed
from service.simulator.scenario.script import Scenario
from service.simulator.scenario.timeline import Expected, Failure, Settled, Timeline, Trouble

_ROLES = {"user": "caller", "assistant": "agent", "tool": "tool", "system": "note"}
Sentences = Iterator[str]


def judged(scenario: Scenario, timeline: Timeline) -> list[Failure]:
    """All that went wrong, in the order of the file."""
    if timeline.refused is not None and scenario.expect.refused is None:
        return [Failure(f"nobody took the call: {timeline.refusal}")]  # of which all else follows
    found = [Failure(trouble.what, trouble.number) for _, trouble in timeline.of(Trouble)]
    for expected in timeline.expected:
        found += [Failure(what, expected.number, expected.turn_id) for what in _reply(timeline, expected)]
    found += map(Failure, _call(timeline, scenario.expect))
    return [*found, *broken_promises(scenario, timeline)]


# Of one answer.


def _reply(timeline: Timeline, expected: Expected) -> Sentences:
    turn_id, reply = expected.turn_id, expected.reply
    if turn_id is None:
        yield "the platform asked for no answer"
        return
    said = "".join(what.text for what in timeline.of_turn(steps.ChunkArrived, turn_id))
    yield from _words(said, reply, f"turn {turn_id}" if turn_id else "the greeting")
    if reply.exactly is not None and said.split() != reply.exactly.split():
        yield f"the agent said {_quoted(said)}, not {_quoted(reply.exactly)}"
    yield from _heard(timeline, turn_id, reply, said)
    yield from _times(timeline, turn_id, reply)
    yield from _tools(timeline, turn_id, reply)
    yield from _action(timeline, turn_id, reply)
    yield from _kind(timeline, turn_id, reply)
    if timeline.is_inside_known:
        yield from _outcome(timeline, turn_id, reply)
        yield from _history(timeline, turn_id, reply)


def _words(said: str, words: Words, who: str) -> Sentences:
    plain = " ".join(said.split())
    for text in listed(words.contains):
        if " ".join(text.split()).casefold() not in plain.casefold():
            yield f"{who} should contain {_quoted(text)}, but is {_quoted(plain)}"
    for pattern in listed(words.matches):
        if not compiled(pattern).search(plain):
            yield f"{who} should match /{pattern}/, but is {_quoted(plain)}"
    for text in listed(words.absent):
        if " ".join(text.split()).casefold() in plain.casefold():
            yield f"{who} should not contain {_quoted(text)}, but is {_quoted(plain)}"


def _heard(timeline: Timeline, turn_id: int, reply: Reply, said: str) -> Sentences:
    if reply.heard is None:
        return
    cut = timeline.of_turn(steps.SpeechCut, turn_id)
    heard = cut[0].heard if cut else said if timeline.of_turn(steps.SpeechFinished, turn_id) else ""
    if heard.split() != reply.heard.split():
        yield f"the caller heard {_quoted(heard)}, not {_quoted(reply.heard)}"


def _times(timeline: Timeline, turn_id: int, reply: Reply) -> Sentences:
    waited = [what.waited for what in timeline.of_turn(steps.ChunkArrived, turn_id) if what.waited is not None]
    first = waited[0] if waited else None
    within = reply.within_ms if isinstance(reply.within_ms, Within) else Within(first_words=reply.within_ms)
    yield from _limit("the first words", first, within.first_words)
    begun = timeline.of_turn(steps.SpeechStarted, turn_id)
    yield from _limit("the first sentence", begun[0].waited if begun else None, within.first_sentence)
    ended = timeline.of_turn(steps.TurnFinished, turn_id)
    yield from _limit("the final frame", ended[0].after if ended else None, within.final)
    early = reply.not_before_ms
    if early is not None and first is not None and first * 1000 < early - 0.001:
        yield f"the first words came after {first * 1000:.0f} ms, before {early:g} ms"


def _limit(what: str, took: float | None, within: float | None) -> Sentences:
    if within is None:
        return
    if took is None:
        yield f"{what} never came, and should come within {within:g} ms"
    elif took * 1000 > within + 0.001:  # a clock's last digit is no delay
        yield f"{what} came after {took * 1000:.0f} ms, not within {within:g} ms"


def _tools(timeline: Timeline, turn_id: int, reply: Reply) -> Sentences:
    begin, end = timeline.span(turn_id)
    calls = [what for at, what in timeline.of(steps.ToolCalled) if begin <= at < end]
    names = {what.tool_call_id: what.name for what in calls}
    is_over = bool(timeline.of_turn(steps.TurnFinished, turn_id))
    answers = [what for _, what in timeline.of(steps.ToolAnswered) if what.tool_call_id in names]
    for name, arguments in reply.tools.items():
        given = [_json(what.arguments) for what in calls if what.name == name]
        answered = [what for what in answers if is_over and names[what.tool_call_id] == name]
        if not given:
            yield f"the tool {name} was not called; {_list('called were', [what.name for what in calls])}"
        elif arguments and not any(is_within(arguments, each) for each in given):
            yield f"{name} was called with {_spelt(given)}, not with {_spelt(arguments)}"
        elif name not in reply.tool_results and answered and not any(what.is_successful for what in answered):
            yield f"{name} failed: {_quoted(answered[0].content)} (if that is right, say so in `tool_results`)"
    for name, text in reply.tool_results.items():
        results = [what.content for what in answers if names[what.tool_call_id] == name]
        if not any(text.casefold() in result.casefold() for result in results):
            yield f"{name} should have answered {_quoted(text)}; {_list('it answered', results)}"
    unwanted = set(names.values()) if reply.no_tools is True else set(listed(reply.no_tools)) & set(names.values())
    for name in sorted(unwanted):
        yield f"the tool {name} was called, and should not be"


def _action(timeline: Timeline, turn_id: int, reply: Reply) -> Sentences:
    if reply.action is None:
        return
    done = [what.action for what in timeline.of_turn(steps.SpeechFinished, turn_id) if what.action is not None]
    found: dict[str, str] = {action.name: action.value for action in done} or {"none": ""}
    if isinstance(reply.action, str):
        if reply.action not in found:
            yield f"what was done is {_spelt(found)}, not {reply.action}"
    elif reply.action != found:
        yield f"what was done is {_spelt(found)}, not {_spelt(reply.action)}"


def _kind(timeline: Timeline, turn_id: int, reply: Reply) -> Sentences:
    if reply.overtaken is not None:
        is_gone = not timeline.of_turn(steps.TurnFinished, turn_id) and is_overtaken(timeline, turn_id)
        if is_gone != reply.overtaken:
            yield "it was overtaken by something newer" if is_gone else "nothing overtook it"
    if reply.reminder is not None:
        asked = timeline.of_turn(steps.TurnAsked, turn_id)
        if (bool(asked) and asked[0].is_reminder) != reply.reminder:
            yield "it answers a silence" if not reply.reminder else "it is no reminder"


def _outcome(timeline: Timeline, turn_id: int, reply: Reply) -> Sentences:
    settled = timeline.of_turn(Settled, turn_id)
    for name in ("outcome", "reason"):
        wanted = getattr(reply, name)
        found = [getattr(each, name) for each in settled]
        if wanted is not None and wanted not in found:
            yield f"its {name} is {' and '.join(map(str, found)) or 'not known: it was never settled'}, not {wanted}"


def _history(timeline: Timeline, turn_id: int, reply: Reply) -> Sentences:
    begin, end = timeline.span(turn_id)
    requests = [received for received in timeline.requests if begin <= received.at < end]
    if reply.model_asked is not None and len(requests) != reply.model_asked:
        yield f"the model was asked {len(requests)} times, not {reply.model_asked}"
    if not (reply.history or reply.history_absent):
        return
    if not requests:
        yield "the model was not asked"
        return
    rows = [(_ROLES.get(row.role, row.role), row.text) for row in requests[0].chat.messages[1:]]
    has_notes = any("note" in row for row in reply.history)
    told = [(role, text) for role, text in rows if role != "note" or has_notes]
    wanted = [next(iter(row.items())) for row in reply.history if row]
    tail = told[-len(wanted) :] if wanted else []
    fits = len(tail) == len(wanted) and all(
        role == is_role and _squeezed(text) in _squeezed(is_text)
        for (role, text), (is_role, is_text) in zip(wanted, tail, strict=False)
    )
    if not fits:
        yield f"the model was told last {_rows(tail)}, not {_rows(wanted)}"
    for text in listed(reply.history_absent):
        if any(_squeezed(text) in _squeezed(is_text) for role, is_text in rows if role != "note"):
            yield f"the model should not be told {_quoted(text)}"


def _squeezed(text: str) -> str:
    """Without what a reader does not see: capitals, and how words are spaced."""
    return " ".join(text.split()).casefold()


# Of the call.


def _call(timeline: Timeline, call: Call) -> Sentences:
    said = "".join(what.text for _, what in timeline.of(steps.ChunkArrived))
    yield from _words(said, call, "what the agent said in the call")
    yield from _same("the line was refused with HTTP", timeline.refused, call.refused)
    yield from _same("the call ended by", timeline.ended, call.ended)
    greetings = [what for what in timeline.of_turn(steps.TurnFinished, 0) if what.text.strip()]
    yield from _same("the caller was greeted so often:", len(greetings), call.greetings)
    asked = [what for _, what in timeline.of(steps.TurnAsked)]
    yield from _same("the answers asked for are", len(asked), call.turns)
    yield from _same("the reminders asked for are", sum(what.is_reminder for what in asked), call.reminders)
    yield from _same("the lines it took are", sum(1 for _ in timeline.of(steps.LineOpened)), call.lines)
    yield from _limit("the slowest echo of a ping", timeline.slowest_echo, call.pings_within_ms)
    yield from _counts(
        "the tool {} was called so often:", (what.name for _, what in timeline.of(steps.ToolCalled)), call.tool_calls
    )
    if timeline.is_inside_known:
        yield from _same("the model was asked so often:", len(timeline.requests), call.model_asked)
        yield from _counts("settled as {} were", (what.outcome for _, what in timeline.of(Settled)), call.outcomes)
        yield from _counts("lines of the log named {}:", (str(line["event"]) for line in timeline.log), call.log)


def _same(what: str, found: object, wanted: object) -> Sentences:
    if wanted is not None and found != wanted:
        yield f"{what} {found}, not {wanted}"


def _counts(what: str, found: Iterable[str], wanted: Mapping[Any, int]) -> Sentences:
    counted = Counter(found) if wanted else Counter()
    for name, count in wanted.items():
        yield from _same(what.format(name), counted[name], count)


# How things are told.


def _quoted(text: str) -> str:
    return f"“{' '.join(text.split())}”"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{role} {_quoted(text)}" for role, text in rows) or "nothing"


def _list(what: str, items: list[str]) -> str:
    return f"{what} {', '.join(map(_quoted, items)) or 'none'}"


def _spelt(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
