"""Do calls reach us and stay, and does the platform agree?"""

from dashboards.machines import machines
from dashboards.overview import FIRST
from dashboards.panel import Board, Panel, Query, Row, percentiles, quantile, rate, series, total
from infra.slo import Slo


def calls(slo: Slo) -> Board:
    """Calls, lines, the platform's verdict, machines, telemetry."""
    return Board(
        "cuebox-platform",
        "Cuebox: calls and platform",
        "Do calls reach us and stay, does the platform agree, and is the machine well?",
        (
            Row("Calls", (_open(), _taken(), _closes(), _lost(), _lengths(), _frames())),
            Row("The platform's verdict", (_reasons(), _latency(slo), _webhooks(), _odd())),
            *machines(),
        ),
    )


def _open() -> Panel:
    return Panel(
        "Calls open, and how many may be",
        "short",
        "Calls that have a line now, by machine, and the least that a machine may have (CUEBOX_MAX_CALLS).",
        "Near the limit: one more machine, before calls are refused. A sudden drop everywhere: lines were cut, see their ends beside. One machine only: it restarted. None at all: call the number yourself.",
        (
            Query(f"sum by (instance) ({series('calls_open')})", "{{instance}}"),
            Query(f"min({series('calls_limit')})", "limit"),
        ),
    )


def _taken() -> Panel:
    return Panel(
        "Calls by whether we took them",
        "short",
        "Calls that came, by what became of them, and those that were ended later for a limit. A call that dials again is the same call.",
        "Refused ones: the platform's address for us is wrong, or somebody scans the internet; refused_capacity: there was no room. What comes to other addresses than a platform's is not counted.",
        (
            Query(total("calls_total", by="result"), "{{result}}"),
            Query(total("calls_limited_total", by="limit"), "ended for {{limit}}"),
        ),
        "bars",
        every="5m",
    )


def _closes() -> Panel:
    return Panel(
        "Lines by how they ended",
        "short",
        "Who ended a line and how. The platform's normal and going_away are ordinary ends; replaced is a call that dialled again.",
        "abnormal: the network or a proxy between us. silent: the platform's pings stopped. fault: ours, see the log. too_large: CUEBOX_MAX_FRAME_BYTES. flooded: CUEBOX_MAX_FRAMES_PER_SECOND.",
        (Query(total("lines_closed_total", by="initiator, reason") + " > 0", "{{initiator}} {{reason}}"),),
        "bars",
        every="5m",
    )


def _lost() -> Panel:
    return Panel(
        "Lines that broke, callers who left",
        "short",
        "Calls that dialled again after their line broke, and calls whose caller left while waiting for an answer.",
        "Reconnects in bursts are deploys or restarts; a steady rate is a proxy that cuts long connections. Callers who leave: “Turn latency”.",
        (
            Query(total("call_reconnects_total"), "reconnects"),
            Query(total("calls_abandoned_total"), "left while waiting"),
        ),
        "bars",
        every="5m",
    )


def _reasons() -> Panel:
    return Panel(
        "Why calls ended, by the platform",
        "short",
        "The platform's own reason for each call's end, and calls that it started without a line to us within 10 s. Empty until webhooks come (README).",
        "error_llm_websocket_open: it could not reach us. …_lost_connection: pings unanswered. …_runtime: a line closed with a code. …_corrupt_payload: a frame it could not read.",
        (
            Query(total("platform_calls_total", by="disconnection_reason") + " > 0", "{{disconnection_reason}}"),
            Query(total("platform_calls_without_line_total"), "no line reached us"),
        ),
        "bars",
        every="5m",
    )


def _latency(slo: Slo) -> Panel:
    return Panel(
        "The platform's clock and ours, medians",
        "s",
        "Ours, what the platform measured for us (llm), and from end to end as the caller has it (e2e). Bars are calls that the platform told of.",
        "llm far above ours: the network between the platform and us; a region nearer to it helps. e2e far above llm: its speech recognition or voice, not us.",
        (
            Query(quantile(0.5, FIRST), "ours p50"),
            Query(quantile(0.5, "platform_llm_latency_seconds"), "llm p50"),
            Query(quantile(0.5, "platform_e2e_latency_seconds"), "e2e p50"),
            Query(total("platform_llm_latency_seconds_count"), "n", count=True),
        ),
        limits=(slo.first_words.promise,),
        every="15m",
    )


def _webhooks() -> Panel:
    return Panel(
        "Webhooks",
        "short",
        "What the platform posted to /webhook, by what became of it.",
        "bad_signature: CUEBOX's key for webhooks is not the platform's, or somebody else posts. None at all while there are calls: its address is not set.",
        (Query(total("webhooks_total", by="event, result") + " > 0", "{{event}} {{result}}"),),
        "bars",
        every="5m",
    )


def _odd() -> Panel:
    return Panel(
        "What we did not expect of the platform",
        "short",
        "Calls in which it sent what it should not have, and calls that contradict what we assume of it.",
        "The log's line.oddity and `assumption broken` say which call. README's table says what rests on the assumption.",
        (
            Query(total("oddities_total", by="oddity") + " > 0", "{{oddity}}"),
            Query(total("assumptions_broken_total", by="assumption") + " > 0", "assumption {{assumption}}"),
        ),
        "bars",
        every="5m",
    )


def _lengths() -> Panel:
    return Panel(
        "Length of calls",
        "s",
        "From a call's first line to the end of its last one.",
        "Much shorter than usual: callers give up, or lines break. Much longer: the agent does not come to an end; look for calls without a farewell.",
        percentiles("call_duration_seconds"),
        every="15m",
    )


def _frames() -> Panel:
    return Panel(
        "Frames a second",
        "short",
        "What comes in and goes out, by kind. A ping is answered by a pong, so these two run together.",
        "One kind of a sudden many times more, or odd ones: somebody floods us or the protocol changed; see the oddities above.",
        (Query(rate("frames_total", by="direction, type"), "{{direction}} {{type}}"),),
    )
