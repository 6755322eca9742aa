"""What the stand-in model says in a scenario, request by request."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from service.simulator.model_script import Call, Script, directed
from service.simulator.model_spelling import ChatRequest
from service.simulator.model_times import Constant, Times, times
from service.simulator.scenario.script import Answer, Model

FALLBACK = "All right."
"""Said when no answer fits."""


class Answers:
    """A script for the stand-in model. Raises ValueError for a fault or a time that is none."""

    def __init__(self, model: Model) -> None:
        self._after, self._gap = _times(model.first_token_after), _times(model.gap)
        self._answers = [Answer(say=each) if isinstance(each, str) else each for each in model.answers]
        self._given: Counter[int] = Counter()
        self._called: Answer | None = None
        for answer in self._answers:
            self._check(answer)

    def __call__(self, request: ChatRequest) -> Script:
        called = self._called if request.brings_tool_result else None  # the same for a hedge's and a retry's
        if called is not None and called.then is not None:
            answer = _answer(called.then)
        else:
            answer = self._chosen(request, is_owed=called is not None)
        self._called = answer if answer.call else called
        return self._script(answer)

    def _chosen(self, request: ChatRequest, *, is_owed: bool) -> Answer:
        """`is_owed` is whether it answers the results of tools that the model called: only what fits those does."""
        fits = [_fits(answer, request) and bool(answer.if_result or not is_owed) for answer in self._answers]
        fitting = [at for at, does in enumerate(fits) if does]
        fresh = [at for at in fitting if self._given[at] < _most(self._answers[at])]
        plain = [at for at in fitting if _is_plain(self._answers[at])]
        at = next(iter([*fresh, *plain[-1:]]), None)
        if at is None:
            return Answer(say=FALLBACK)
        self._given[at] += 1
        return self._answers[at]

    def _check(self, answer: Answer) -> None:
        for pattern in (answer.if_said, answer.if_result):
            compiled(pattern)
        if answer.then is not None and not answer.call:
            raise ValueError("`then` is for an answer with `call`: it answers the tools' results")
        self._script(answer)
        if answer.then is not None:
            self._check(_answer(answer.then))

    def _script(self, answer: Answer) -> Script:
        said = tuple(answer.say) if isinstance(answer.say, list) else answer.say
        script = Script(
            "" if answer.call else said,
            self._after if answer.first_token_after is None else _times(answer.first_token_after),
            self._gap if answer.gap is None else _times(answer.gap),
            calls=tuple(Call(name, _arguments(given)) for name, given in answer.call.items()),
        )
        script = replace(script, lead_in=said) if answer.call else script  # type: ignore[arg-type]  # as chunks() takes them
        return directed(script, f"[[{answer.fault}]]") if answer.fault else script


def compiled(pattern: str) -> re.Pattern[str]:
    """In any case of letters. Raises ValueError."""
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


def _answer(then: str | Answer) -> Answer:
    return Answer(say=then) if isinstance(then, str) else then


def _fits(answer: Answer, request: ChatRequest) -> bool:
    if answer.if_result:
        result = request.messages[-1].text if request.brings_tool_result else ""
        return bool(result and compiled(answer.if_result).search(result))
    return bool(compiled(answer.if_said).search(request.last_user_text))


def _is_plain(answer: Answer) -> bool:
    return not (answer.if_said or answer.if_result or answer.times)


def _most(answer: Answer) -> float:
    return answer.times or (1 if _is_plain(answer) else float("inf"))


def _arguments(given: Mapping[str, object] | str) -> str:
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


def _times(given: float | str) -> Times:
    return times(given) if isinstance(given, str) else Constant(given)
