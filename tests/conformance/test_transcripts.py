"""Cases 36 to 39: what the platform heard reaches the agent, of every role, as it was heard."""

from typing import Any

from service.conversation.call import Turn
from service.conversation.transcript import DigitPressed, Note, Speaker, ToolAnswered, ToolCalled, Utterance
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Script
from tests.conformance.agents import saying
from tests.live import Frame, serving

UNINTELLIGIBLE = "(unintelligible audio)"
WOVEN: list[Frame] = [
    {"role": "agent", "content": "Your number, please.", "words": []},
    {"role": "dtmf", "digit": "4"},
    {"role": "dtmf", "digit": "#"},
    {"role": "sms", "content": "It is 42.", "time_sec": 3.5, "multimedia": [{"url": "https://x", "summary": "a cat"}]},
    {"role": "injected", "content": "The caller is a member.", "time_sec": 4},
    {"role": "node_transition", "former_node_id": "a", "new_node_id": "b", "transition_type": "global"},
    {"role": "tool_call_invocation", "tool_call_id": "t1", "name": "find", "arguments": "{}", "thought_signature": "x"},
    {"role": "tool_call_result", "tool_call_id": "t1", "content": "found", "successful": True},
    {"role": "hologram", "content": "Help me.", "beam": {"colour": "blue"}},
    {"role": "user", "content": "And now?", "words": [{"word": "And", "start": 1.0, "end": 1.2}]},
]


async def heard(*frames: Frame) -> list[Turn]:
    """The turns of an agent that these requests are put to, under the ids 1, 2, …"""
    agent = saying("Yes.")
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        for turn_id, frame in enumerate(frames, 1):
            await line.send({"interaction_type": "response_required", "response_id": turn_id, **frame})
            assert await line.answer(turn_id) == "Yes."
    return agent.turns[1:]


def said_by_caller(turn: Turn) -> list[str]:
    return [row.text for row in turn.history if isinstance(row, Utterance) and row.speaker is Speaker.CALLER]


async def test_case_36_unintelligible_audio_reaches_the_agent_as_it_is() -> None:
    (turn,) = await heard({"transcript": [{"role": "user", "content": UNINTELLIGIBLE}]})
    assert said_by_caller(turn) == [UNINTELLIGIBLE]


async def test_case_37_every_spelling_of_a_row_is_accepted() -> None:
    rows: list[Any] = [
        {"role": "transfer_target", "content": "One."},
        {"role": "system", "content": "Two.", "words": None},
        {"role": "martian", "content": "Three.", "antennas": [1, {"left": None}]},
        {"content": "Four."},
        {"role": "user", "content": None},
        {"role": "user"},
        {"role": "user", "content": "Five.", "words": [{}, {"word": "Five"}, {"start": 1.5}]},
    ]
    (turn,) = await heard({"transcript": rows, "timestamp": 3, "new_field": [[]]})
    assert said_by_caller(turn) == ["One. Two. Three. Four. Five."]


async def test_case_38_a_woven_transcript_shows_the_agent_digits_notes_and_tools() -> None:
    (turn,) = await heard({"transcript": [], "transcript_with_tool_calls": WOVEN})
    assert [type(row) for row in turn.history] == [
        Utterance,
        DigitPressed,
        DigitPressed,
        Note,
        Note,
        ToolCalled,
        ToolAnswered,
        Utterance,
    ]
    assert [row.digit for row in turn.history if isinstance(row, DigitPressed)] == ["4", "#"]
    assert said_by_caller(turn) == ["Help me. And now?"]


async def test_case_38_the_model_sees_them_too() -> None:
    async with StandInModel(Script("Yes.")) as model:
        settings = Settings(agent="receptionist", openai_api_key="k", openai_base_url=model.base_url)
        async with serving(settings=settings) as service, service.line() as line:
            await line.greeted()
            await line.ask(1, "", "", transcript_with_tool_calls=WOVEN)
            assert await line.answer(1) == "Yes."
        sent = model.requests[-1].body.decode()
        assert all(words in sent for words in ("4 #", "It is 42.", "a member", "found", "Help me.", "And now?"))


async def test_case_39_neighbouring_utterances_of_one_side_are_merged() -> None:
    rows = [
        ("user", "I want"),
        ("user", " a table "),
        ("agent", "For"),
        ("agent", "two?"),
        ("user", ""),
        ("user", "Four."),
    ]
    (turn,) = await heard({"transcript": [{"role": role, "content": text} for role, text in rows]})
    assert [row.text for row in turn.history if isinstance(row, Utterance)] == ["I want a table", "For two?", "Four."]


async def test_case_39_the_model_gets_roles_that_alternate() -> None:
    async with StandInModel(Script("Yes.")) as model:
        settings = Settings(agent="receptionist", openai_api_key="k", openai_base_url=model.base_url)
        async with serving(settings=settings) as service, service.line() as line:
            await line.greeted()
            rows = [{"role": role, "content": "Hm."} for role in ("agent", "agent", "user", "user", "martian", "agent")]
            await line.ask(1, transcript=rows)
            await line.answer(1)
        roles = [message.role for message in model.requests[-1].chat.messages]
        assert roles == ["system", "assistant", "user", "assistant"]


async def test_case_30_the_nudge_of_a_reminder_is_not_put_into_the_callers_mouth() -> None:
    async with StandInModel(Script("Are you there?")) as model:
        settings = Settings(agent="receptionist", openai_api_key="k", openai_base_url=model.base_url)
        async with serving(settings=settings) as service, service.line() as line:
            await line.greeted()
            await line.ask(1, "Hello.", "Hm.", "Yes?", kind="reminder_required")
            assert await line.answer(1) == "Are you there?"
        messages = model.requests[-1].chat.messages
        assert [message.role for message in messages] == ["system", "assistant", "user", "assistant", "system"]


async def test_an_utterance_that_the_caller_cut_off_is_marked_and_holds_what_was_heard() -> None:
    agent = saying("We open at nine in the morning and close at six.")
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "When?")
        await line.answer(1)
        await line.ask(2, "", "When?", "We open at nine", "Thanks.")
        await line.answer(2)
    (cut_off,) = (row for row in agent.turns[-1].history if isinstance(row, Utterance) and row.speaker is Speaker.AGENT)
    assert cut_off == Utterance(Speaker.AGENT, "We open at nine", was_cut_off=True)


async def test_a_request_whose_transcript_is_unreadable_is_answered_from_the_one_before() -> None:
    good = {"transcript": [{"role": "user", "content": "Hi."}]}
    bad: list[Any] = ["Hi.", {"role": "user"}, 5, [7], [{"role": 5}], [[]]]
    turns = await heard(good, *({"transcript": transcript} for transcript in bad))
    assert [said_by_caller(turn) for turn in turns] == [["Hi."]] * (1 + len(bad))
