"""The turns that callers cut off, and what came before them: something may make callers do so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.conversation.playout import WORDS_PER_SECOND
from service.reporting.facts import Facts, TurnFacts, quantile
from service.reporting.html import Safe, Section, bdi, paragraph, percent, plural, seconds, table, which
from service.reporting.plots import histogram

MOST_ROWS, UNHEARD = 10, 6
LATE, SILENT, LONG = 2.0, 0.5, 40
"""From how many seconds on a wait is late and a gap a silence, and from how many words on an answer is long."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A turn, between its neighbours in the call."""

    before: TurnFacts | None
    turn: TurnFacts
    after: TurnFacts | None

    @property
    def follows(self) -> str:
        """How the turn before ended."""
        return "" if self.before is None else self.before.outcome


_BEFORE: dict[str, Callable[[_Placed], bool]] = {
    "it was the greeting": lambda it: it.turn.prompt == "greeting",
    "the caller had been silent, and was spoken to": lambda it: it.turn.prompt == "caller_silent",
    f"its first sentence took more than {LATE:g} s": lambda it: (it.turn.time_to_first_sentence or 0.0) > LATE,
    "a hold line came first": lambda it: it.turn.held,
    "a tool worked for it": lambda it: bool(it.turn.tools),
    f"it fell silent for more than {SILENT:g} s in between": lambda it: it.turn.audible_gap > SILENT,
    f"it was long, more than {LONG} words": lambda it: it.turn.words_said > LONG,
    "the answer before was cut off, too": lambda it: it.follows == "interrupted",
    "the answer before was overtaken, unheard": lambda it: it.follows == "superseded",
    "the answer before had failed": lambda it: it.follows == "failed",
}


def interruptions(facts: Facts) -> Section:
    """How often, after how much, after what; and the latest of them."""
    title = "Interruptions, and what came before"
    heard = [placed for call in facts.calls for placed in _placed(call.turns) if placed.turn.was_heard]
    cut_off = [placed for placed in heard if placed.turn.outcome == "interrupted"]
    if not cut_off:
        told = (
            f"Callers heard {plural(len(heard), 'answer')} and cut none off." if heard else "No answer was heard here."
        )
        return Section(title, paragraph(told))
    lead = paragraph(
        f"Callers cut off {len(cut_off)} of the {plural(len(heard), 'answer')} that they heard: "
        f"{percent(len(cut_off) / len(heard))}. 5 to 15 % are usual. A great difference "
        "between the last two columns hints at a cause."
    )
    spoke = sorted(spoken(placed.turn) for placed in cut_off)
    after = {"half of them by": quantile(spoke, 0.5), "nine of ten by": quantile(spoke, 0.9)}
    drawn = histogram("How long the agent had spoken when it was cut off", "s", spoke, after, bars=12)
    return Section(title, f'{lead}<div class="plots">{drawn}{_compared(heard)}</div>{_latest(cut_off)}')


def _placed(turns: Sequence[TurnFacts]) -> Iterator[_Placed]:
    for at, turn in enumerate(turns):
        yield _Placed(turns[at - 1] if at else None, turn, turns[at + 1] if at + 1 < len(turns) else None)


def spoken(turn: TurnFacts) -> float:
    """For about how many seconds the caller had heard a turn, by the words that were heard."""
    return turn.words_heard / WORDS_PER_SECOND


def _compared(heard: Sequence[_Placed]) -> Safe:
    rows = []
    for name, came_before in _BEFORE.items():
        those = [it for it in heard if came_before(it)]
        others = [it for it in heard if not came_before(it)]
        if those:
            rows.append((name, len(those), _share(those), _share(others)))
    return table("How many answers were cut off when …", ("", "answers", "cut off", "when not"), rows)


def _share(of: Sequence[_Placed]) -> str:
    return percent(sum(it.turn.outcome == "interrupted" for it in of) / len(of)) if of else "–"


def _latest(cut_off: Sequence[_Placed]) -> Safe:
    latest = sorted(cut_off, key=lambda it: -it.turn.asked_at)[:MOST_ROWS]
    return Safe(f'<h3>The latest that were cut off</h3><ol class="slow">{"".join(map(_item, latest))}</ol>')


def _item(it: _Placed) -> str:
    turn, came = it.turn, "; ".join(name for name, came_before in _BEFORE.items() if came_before(it))
    told = f"about {spoken(turn):.0f} s of speech; waited {seconds(turn.waited)} for it"
    return (
        f'<li><div class="row"><b>{turn.words_heard} of {turn.words_said}</b> <span class="long" aria-hidden="true">'
        f'<i style="width:{100 * turn.heard_share:.1f}%"></i></span><span>words heard, {told}'
        f"{f' · {came}' if came else ''}</span><small>{which(turn)}</small></div>{_words(it)}</li>"
    )


def _words(it: _Placed) -> str:
    """What was heard, a few words of what was not, and what the caller said instead: where they were kept."""
    words = it.turn.agent_said.split()
    heard, unheard = words[: it.turn.words_heard], words[it.turn.words_heard :]
    rest = " ".join(unheard[:UNHEARD]) + (" …" if len(unheard) > UNHEARD else "")
    agent = f'<p class="words"><b>agent</b> <span>{bdi(" ".join(heard))} <s>{bdi(rest)}</s></span></p>' if words else ""
    caller = "" if it.after is None else it.after.caller_said
    return agent + (f'<p class="words"><b>caller</b> {bdi(caller)}</p>' if caller else "")
