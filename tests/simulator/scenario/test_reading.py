import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # comes with check-jsonschema
import pytest

from service.simulator.scenario.nodes import parse
from service.simulator.scenario.reading import LARGEST, BrokenScenario, json_schema, listed, read_scenario
from service.simulator.scenario.script import Drop, Listen, Say

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def read(folder: Path, text: str | bytes) -> list[str]:
    """What is wrong with a file of this text, without its path."""
    file = folder / "broken-call.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BrokenScenario) as caught:
        read_scenario(file)
    return [f"{mistake}".removeprefix(f"{folder}/") for mistake in caught.value.mistakes]


def test_a_file_is_a_scenario_named_after_it(tmp_path: Path) -> None:
    file = tmp_path / "the-caller-waits.yaml"
    file.write_text("steps:\n- say: no\n- drop\n- listen: {contains: [a, b]}\n")
    scenario = read_scenario(file)
    assert scenario.name == "the caller waits"
    say, drop, listen = scenario.steps
    assert isinstance(say, Say)
    assert say.say == "no"
    assert isinstance(drop, Drop)
    assert isinstance(listen, Listen)


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = """name: 7
stepz: []
steps:
- say: 42
- say: Hello.
  expect: {contians: x}
- say: Hello.
  wait: 3
- wiat: 3
- {}
- listen: {within_ms: {first_word: 3}}
- frob
"""
    told = read(tmp_path, text)
    assert [line.split(":")[1] for line in told] == ["1", "2", "4", "6", "7", "9", "10", "11", "12"]
    assert told[0] == 'broken-call.yaml:1: `name`: expected text, got a whole number; put it into quotes: "7"'
    assert told[1].endswith("`stepz` is not known here; did you mean `steps`?")
    assert told[3].endswith("`contians` is not known here; did you mean `contains`?")
    assert "say and wait: make two steps of it" in told[4]
    assert told[5].endswith("and `wiat` is none; did you mean `wait`?")
    assert told[7].endswith("`first_word` is not known here; did you mean `first_words`?")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- say: Hello.", "a scenario is a mapping"),
        ("steps: {say: Hello.}", "`steps`: expected a list, got a mapping"),
        ("model: {answers: [{fault: explode}]}", "no fault is named explode"),
        ("model: {answers: [{first_token_after: soon}]}", "'soon'"),
        ("model: {answers: [{if_said: '('}]}", "no regular expression"),
        ("model: {answers: [{then: x}]}", "`then` is for an answer with `call`"),
        ("model: {answers: [{call: {f: {}}, then: {fault: explode}}]}", "no fault is named explode"),
        ("model: {answers: [{say: true}]}", "expected text or a list, got `true` or `false`"),
        ("model: some", "`model`"),
        ("steps: [{model: {gap: -1}}]", "times are seconds"),
        ("steps: [{say: Hi., expect: {matches: '['}}]", "no regular expression"),
        ("steps: [{listen: {matches: '['}}]", "no regular expression"),
        ("expect: {rules_broken: ['[']}", "no regular expression"),
        ("steps: [{frame: xyz, spelt_in: hex}]", "pairs of the digits 0-9 and a-f"),
        ("expect: {outcomes: {complete: 1}}", "`complete` is none of completed,"),
        ("expect: {ended: agent_hungup}", "did you mean `agent_hangup`?"),
        ("steps: [{drop: false}]", "`drop`: `false` is none of true"),
        ("steps: [{say: Hi., expect: {history: [{caller: a, agent: b}]}}]", "a row has one speaker"),
        ("steps: [{say: One two., asked_early_after: [2]}]", "no more words"),
        ("environment: {'A=B': x}", "matching regex"),
        ("path: llm-websocket", "`path`: expected text matching regex"),
        ("now: yesterday", "`now`: expected a date and time, such as 2026-03-02T15:00:00+01:00"),
        ("now: 0001-01-01T00:00:00Z", "expected a year from 1971"),
        ("steps: [{say: Hi., after_ms: 3, after_words: 4}]", "one moment"),
        ("steps: [{webhook: call_ended, call: {}, status: x}]", "`status`"),
        ("steps: [{status: 3}]", "`status` is none"),
        ("steps: [{drain: nobody}]", "`drain`: `nobody` is none of home, other"),
        ("steps: [{kill: home, seconds: 3}]", "`seconds` is not known here"),
        ("steps: [{say: Hi., expect: {history: [{nobody: x}]}}]", "`nobody` is none of caller, agent, tool, note"),
        ("call: {1: 2}\nprocesses: 99", "`processes`"),
        ("now: 2026-03-02 10:00:00", "timezone"),
        ("name: a\nname: b", "stands here twice"),
        ("steps: [{say: Hi., expect: {tools: {book: 3}}}]", "`tools`: expected a mapping, got a whole number"),
    ],
)
def test_a_mistake_says_what_to_do(text: str, why: str, tmp_path: Path) -> None:
    (told,) = read(tmp_path, text)
    assert why in told


def test_a_mistake_of_the_model_is_told_where_it_stands(tmp_path: Path) -> None:
    (told,) = read(tmp_path, "model:\n  answers:\n  - Hello.\n  - fault: explode")
    assert told.startswith("broken-call.yaml:4: no fault is named explode")


def test_of_very_many_mistakes_some_are_told(tmp_path: Path) -> None:
    told = read(tmp_path, "".join(f"key{number}: 1\n" for number in range(50)))
    assert len(told) == 21
    assert told[-1] == "broken-call.yaml:21: … and 30 more"


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "not UTF-8" in read(tmp_path, b"name: \xff")[0]
    assert "larger than" in read(tmp_path, b"#" * (LARGEST + 1))[0]
    with pytest.raises(BrokenScenario, match="cannot be read: No such file"):
        read_scenario(tmp_path / "nowhere.yaml")


def test_the_schema_for_editors_takes_what_the_project_has() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    files = sorted(SCENARIOS.rglob("*.yaml"))
    assert files
    for file in files:
        validator.validate(parse(file.read_text(encoding="utf-8")).value)


@pytest.mark.parametrize("step", [{"say": 1}, {"sya": "x"}, {"say": "x", "do": "say"}, "jump", {"wait": -1}])
def test_the_schema_refuses_what_is_no_step(step: object) -> None:
    schema = json_schema()
    assert json.dumps(schema)
    assert not jsonschema.Draft202012Validator(schema).is_valid({"steps": [step]})


def test_one_text_is_a_list_of_one() -> None:
    assert listed("a") == ["a"]
    assert listed(["a", "b"]) == ["a", "b"]
    assert listed("") == listed(texts=True) == []
