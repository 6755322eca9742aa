"""Do agents get done what callers call for?"""

from dashboards.overview import ENDED
from dashboards.panel import Board, Panel, Query, Row, percentiles, quantile, total
from infra.alerts_agents import BROKEN, TRIED
from infra.slo import Slo
from service.agents.folder import Limits

WAIT = Limits().knowledge_wait
"""Seconds that a turn waits for knowledge, unless its agent says otherwise."""

SOUGHT = 'result=~"found|nothing|late|failed"'
MISSED = 'result=~"late|failed"'


def agents(slo: Slo) -> Board:
    """Tools, knowledge, actions."""
    return Board(
        "cuebox-agents",
        "Cuebox: tools and knowledge",
        "Do agents get done what callers call for, and do they know what they are asked?",
        (
            Row("Tools", (_failing(slo), _results(), _durations(slo))),
            Row("Knowledge", (_lookups(), _missed(slo), _waits(), _searches())),
            Row("How calls go on", (_actions(), _rescues())),
        ),
    )


def _failing(slo: Slo) -> Panel:
    broken, tried = (total("tool_calls_total", which, by="tool") for which in (BROKEN, TRIED))
    return Panel(
        "Share of tool calls that failed",
        "percentunit",
        "Calls of each tool that raised, timed out or returned nothing that could be told. The dashes are the alert's, the bars calls.",
        "One tool: its backend, or its last change. All of them: the network, or a password that ran out. A trace behind the link shows the turn.",
        (
            Query(f"{broken} / {tried}", "{{tool}}"),
            Query(total("tool_calls_total", TRIED), "n", count=True),
        ),
        limits=(slo.tools.failing,),
        width=8,
        every="5m",
        traces='{ span.cuebox.tool.result =~ "timeout|raised|unreadable" }',
    )


def _results() -> Panel:
    return Panel(
        "Tool calls by how they ended",
        "short",
        "Refused: the tool said no, or a rule of the agent did. Arguments: the model's could not be used. Cancelled: the caller went on.",
        "Many with wrong arguments: say more about them in the tool's docstring. The tool unknown: the model calls what is not there; the prompt speaks of it.",
        (Query(total("tool_calls_total", by="tool, result") + " > 0", "{{tool}} {{result}}"),),
        "bars",
        width=8,
        every="5m",
    )


def _durations(slo: Slo) -> Panel:
    lines = [Query(quantile(0.9, "tool_duration_seconds", by="tool"), "{{tool}} p90")]
    return Panel(
        "How long tools take",
        "s",
        "From a tool's call to its answer; one in ten takes longer than this. The dashes are the alert's.",
        "A caller hears silence after some 1.5 s, unless the tool has a hold line. An index in its database, a cache, a shorter timeout help.",
        (*lines, Query(total("tool_duration_seconds_count"), "n", count=True)),
        limits=(slo.tools.slow,),
        width=8,
        every="5m",
    )


def _lookups() -> Panel:
    return Panel(
        "Searches by what came of them",
        "short",
        "Turns that looked for knowledge. Skipped ones had nothing to look for (“yes”, “thanks”).",
        "Nothing found, more often than before: callers ask what no page answers. `cuebox explain CALL_ID` shows which turns.",
        (Query(total("knowledge_searches_total", by="result"), "{{result}}"),),
        "bars",
        every="5m",
    )


def _missed(slo: Slo) -> Panel:
    sought = total("knowledge_searches_total", SOUGHT)
    return Panel(
        "Share of turns without the knowledge they looked for",
        "percentunit",
        "Searches that came too late for their turn, or failed. The dashes are the alert's.",
        "Late: a busy machine, or a search service that is slow. Failed: the log says with which error.",
        (
            Query(f"{total('knowledge_searches_total', MISSED)} / {sought}", "missed"),
            Query(sought, "n", count=True),
        ),
        limits=(slo.knowledge.missed,),
        every="5m",
    )


def _waits() -> Panel:
    return Panel(
        "How long turns wait for knowledge",
        "s",
        f"What a search adds to a turn. Most begin while the caller still speaks, and add nothing; none may add more than {WAIT:g} s, or what its agent says.",
        "Near the bound: the store is too slow for a telephone. Answers become better with fewer pages, not with a longer wait.",
        percentiles("knowledge_wait_seconds", "", (0.5, 0.99)),
        limits=(WAIT,),
        every="5m",
    )


def _searches() -> Panel:
    return Panel(
        "How long searches take",
        "s",
        "From the search's start to its hits, those that came in time. The embedded index takes some milliseconds.",
        "Grows with the pages: look at their number. Grows without: the event loop lags, see “Calls and platform”.",
        percentiles("knowledge_search_seconds", "", (0.5, 0.99)),
        limits=(WAIT,),
        every="5m",
    )


def _actions() -> Panel:
    return Panel(
        "Actions",
        "short",
        "Calls that agents ended, handed over, or pressed keys in.",
        "More transfers than before: what do callers want that the agent cannot do? Many hang-ups beside short calls: it says goodbye too early.",
        (Query(total("actions_total", by="action"), "{{action}}"),),
        "bars",
        every="5m",
    )


def _rescues() -> Panel:
    ended = total("turns_total", ENDED)
    return Panel(
        "Callers handed over after failures",
        "percentunit",
        "Failed turns after which the caller was put through to a person: the agent's [rescue]. Bars are turns.",
        "The model is ill: “Model and cost” says how. Whoever takes those calls should know that they come.",
        (Query(f"{total('rescues_total')} / {ended}", "rescued"), Query(ended, "n", count=True)),
        every="5m",
    )
