"""What Prometheus sees of a service, in promtool's notation.

`0+3x60` is a counter that starts at 0 and grows by 3 a step, 60 times. A step is a minute, or a quarter of an hour
in what looks days back.
"""

from dataclasses import dataclass

Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Each of `sick` raises the alert once, with `label`, and no other; none of `well` does, each for its reason."""

    sick: tuple[Series, ...]
    well: tuple[Series, ...]
    steps: int = 30
    minutes: int = 1
    label: str = ""


def turns(sent: str, *, in_time: str, bearable: str | None = None, failed: str = "0x600") -> Series:
    """Turns that got first words, those of them within 2 s and within 3 s, and those that got none."""
    words = "turn_time_to_first_chunk_seconds_bucket"
    return {
        'turn_first_chunk_total{result="sent"}': sent,
        'turn_first_chunk_total{result="failed"}': failed,
        f'{words}{{prompt="caller_spoke",le="2.0"}}': in_time,
        f'{words}{{prompt="caller_spoke",le="3.0"}}': bearable or sent,
    }


def ended(completed: str, *, interrupted: str = "0x1300", failed: str = "0x1300") -> Series:
    """Turns by outcome."""
    return {
        'turns_total{prompt="caller_spoke",outcome="completed"}': completed,
        'turns_total{prompt="caller_spoke",outcome="interrupted"}': interrupted,
        'turns_total{prompt="caller_spoke",outcome="failed"}': failed,
        'turns_total{prompt="caller_spoke",outcome="superseded"}': "0+50x1300",
    }


def within(metric: str, edge: str, values: str, every: str) -> Series:
    """A histogram with one edge of interest; all is within the next."""
    buckets = {edge: values, "0.25": every, "+Inf": every}
    return {f'{metric}_bucket{{le="{edge}"}}': values for edge, values in buckets.items()} | {f"{metric}_count": every}


def attempts(tried: str, *, failed: str, error: str) -> Series:
    """Attempts at the target `first`, and its errors of one class."""
    return {
        'model_attempts_total{target="first",model="m",cause="first",result="answered"}': tried,
        'model_attempts_total{target="first",model="m",cause="first",result="failed"}': failed,
        f'model_errors_total{{target="first",error="{error}"}}': failed,
    }


def tool_calls(ok: str, **others: str) -> Series:
    """Calls of the tool `book` by result."""
    return {
        f'tool_calls_total{{tool="book",result="{result}"}}': values for result, values in {"ok": ok, **others}.items()
    }


def duration(in_time: str, every: str) -> Series:
    """Calls of the tool `book`, and those of them within 2 s."""
    name = "tool_duration_seconds"
    buckets = {
        f'{name}_bucket{{tool="book",le="{edge}"}}': values
        for edge, values in {"2.0": in_time, "8.0": every, "+Inf": every}.items()
    }
    return buckets | {f'{name}_count{{tool="book"}}': every}


def announced(calls: str, *, missed: str, came: str) -> Series:
    """Calls that the platform told of, those that had no line on the machine that was told, and all that came."""
    return {
        'webhooks_total{event="call_started",result="accepted"}': calls,
        "platform_calls_without_line_total": missed,
        'calls_total{result="accepted"}': came,
    }
