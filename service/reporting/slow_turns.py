"""The turns for which callers waited longest, each with its waterfall."""

from html import escape

from service.reporting.facts import Facts, TurnFacts
from service.reporting.html import Safe, Section, bdi, dollars, paragraph, percent, plural, seconds, which
from service.reporting.waterfall import blame, waterfall

MOST_TURNS, OPEN_TURNS = 20, 3


def slowest(facts: Facts) -> Section:
    """The turns for which callers waited longest."""
    title = "The slowest turns"
    turns = sorted((turn for turn in facts.turns if turn.is_answer), key=lambda turn: -turn.waited)[:MOST_TURNS]
    if not turns:
        return Section(title, paragraph("Nobody waited for an answer here."))
    blames = [each for turn in turns if (each := blame(turn)) is not None]
    whole = sum(each.model + each.tools + each.rest for each in blames) or 1.0
    shares = [sum(getattr(each, part) for each in blames) / whole for part in ("model", "tools", "rest")]
    spent = "Of what they waited, {} went to the model, {} to tools and {} to all else. ".format(*map(percent, shares))
    lead = paragraph(
        f"{'The ' + str(len(turns)) + ' turns' if len(turns) > 1 else 'The one turn'} for which callers waited longest "
        f"for a sentence. {spent if blames else ''}Times are seconds since the turn was asked."
    )
    items = "".join(_slow(turn, turns[0].waited, is_open=rank < OPEN_TURNS) for rank, turn in enumerate(turns))
    return Section(title, f'{lead}{_LEGEND}<ol class="slow">{items}</ol>')


_LEGEND = (
    '<p class="legend"><span><i class="wait"></i>waiting</span><span><i class="begun"></i>first words, no sentence yet'
    '</span><span><i class="said"></i>answering</span><span><i class="vain"></i>in vain</span>'
    '<span><i class="hold"></i>a hold line</span><span><i class="asked"></i>model thinks</span>'
    '<span><i class="spoke"></i>model answers</span><span><i class="tool"></i>tool works</span></p>'
)


def _slow(turn: TurnFacts, longest: float, *, is_open: bool) -> str:
    wide = 100 * turn.waited / (longest or 1)
    why = f", {turn.reason.replace('_', ' ')}" if turn.reason and turn.outcome == "failed" else ""
    what = f"{turn.prompt.replace('_', ' ')}: {turn.outcome}{why}"
    most = f" · mostly {each.most}" if (each := blame(turn)) is not None else ""
    return (
        f"<li><details{' open' if is_open else ''}><summary><b>{seconds(turn.waited)}</b>"
        f'<span class="long" aria-hidden="true"><i style="width:{wide:.1f}%"></i></span>'
        f"<span>{escape(what)}{most}</span><small>{which(turn)}</small></summary>"
        f"{waterfall(turn)}{_said(turn)}{_more(turn)}</details></li>"
    )


def _said(turn: TurnFacts) -> Safe:
    words = {"caller": turn.caller_said, "agent": turn.agent_said}
    return Safe("".join(f'<p class="words"><b>{who}</b> {bdi(text)}</p>' for who, text in words.items() if text))


def _more(turn: TurnFacts) -> Safe:
    told = [
        f"knowledge: {turn.knowledge}, {plural(turn.passages, 'passage')}" if turn.knowledge else "",
        f"waited {seconds(turn.knowledge_waited)} for it" if turn.knowledge_waited > 0.01 else "",  # noqa: PLR2004
        f"action: {turn.action.replace('_', ' ')}{', to rescue the caller' * turn.rescued}" if turn.action else "",
        f"silent for {seconds(turn.audible_gap)} in mid-answer" if turn.audible_gap > 0.5 else "",  # noqa: PLR2004
        f"{turn.tokens.input:,} tokens in, {turn.tokens.output:,} out" if turn.tokens else "",
        dollars(turn.cost) if turn.cost is not None else "",
        f"trace {turn.trace_id}" if turn.traced else "",
    ]
    return paragraph(" · ".join(each for each in told if each), "more")
