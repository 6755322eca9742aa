"""Are the machines well, and is what watches them?"""

from dashboards.panel import Panel, Query, Row, percentiles, quantile, series, total

OURS = "and on (instance) cuebox_build_info"


def machines() -> tuple[Row, ...]:
    """The rows about machines and telemetry."""
    return (
        Row("The event loop", (_loop(), _pongs())),
        Row("Machines", (_cpu(), _memory(), _files(), _builds(), _drains())),
        Row("Telemetry's own health", (_spans(), _faults(), _scrapes(), _garbage())),
        Row("Fly's own series", (_fly_load(), _fly_ills()), folded=True),
    )


def _loop() -> Panel:
    return Panel(
        "Event loop, how late",
        "s",
        "How much later than due a timer fired (p99), and the longest standstill of a minute, by machine. While the loop stands, so does every call on it.",
        "Steady lag: too many calls for the machine. Spikes: code that blocks, such as a file, a DNS look-up or a big loop in an agent. `py-spy dump --pid` shows where.",
        (
            Query(quantile(0.99, "event_loop_lag_seconds", by="instance"), "{{instance}} p99"),
            Query(f"max by (instance) ({series('event_loop_stall_max_seconds')})", "{{instance}} longest"),
            Query(total("event_loop_lag_seconds_count"), "n", count=True),
        ),
        limits=(0.1, 1.0),
    )


def _pongs() -> Panel:
    return Panel(
        "Pings, how long they may have waited",
        "s",
        "By how much the loop was late when a ping was answered. The platform gives up a line after 5 s; later than 2 s is counted (late).",
        "It follows the event loop beside. If the loop is well and the platform still loses connections, look at the network between.",
        (*percentiles("pong_delay_seconds", "", (0.99,)), Query(total("pongs_late_total"), "late", count=True)),
        limits=(2.0,),
    )


def _cpu() -> Panel:
    return Panel(
        "CPU",
        "percentunit",
        "Of one core, by machine: the service uses one.",
        "Above 0.7 for long the event loop grows late: more machines, or fewer calls on each.",
        (
            Query(
                f"sum by (instance) (rate({series('process_cpu_seconds_total')}[$__rate_interval])) {OURS}",
                "{{instance}}",
            ),
        ),
        limits=(0.7,),
        width=8,
    )


def _memory() -> Panel:
    return Panel(
        "Memory",
        "bytes",
        "Resident memory, and what was asked for, by machine.",
        "A rise that does not end with the calls is a leak: note the version, restart in a quiet hour, tell us.",
        (Query(f"sum by (instance) ({series('process_resident_memory_bytes')}) {OURS}", "{{instance}}"),),
        width=8,
    )


def _files() -> Panel:
    return Panel(
        "Open files",
        "percentunit",
        "Sockets and files, of how many the system allows.",
        "Above 0.8 new calls will soon be refused: raise the limit (ulimit -n), or look for connections that stay open.",
        (
            Query(
                f"sum by (instance) ({series('process_open_fds')}) / sum by (instance) ({series('process_max_fds')}) {OURS}",
                "{{instance}}",
            ),
        ),
        limits=(0.8,),
        width=8,
    )


def _builds() -> Panel:
    return Panel(
        "What runs",
        "short",
        "Machines by version and agent. A hash stands for the agent's folder.",
        "Two versions for long: a deploy is stuck. An agent hash that nobody deployed: somebody changed files on a machine.",
        (
            Query(
                f"count by (version, agent, folder_hash, python) ({series('build_info')})",
                "{{version}} {{agent}} {{folder_hash}}",
            ),
            Query(f"sum(changes({series('process_start_time_seconds')}[$__rate_interval]) {OURS})", "restarts"),
        ),
        "steps",
        width=12,
    )


def _drains() -> Panel:
    return Panel(
        "Machines that drain",
        "short",
        "Machines that take no new calls and wait for the end of those they have, with the calls and seconds that are left.",
        "Seconds run out with calls left: their lines are cut, and the platform dials another machine. Often: longer CUEBOX_DRAIN_SECONDS, or deploy.sh.",
        (
            Query(f"sum({series('draining')})", "machines that drain"),
            Query(
                f"sum by (instance) ({series('calls_open')}) and sum by (instance) ({series('draining')}) == 1",
                "{{instance}} calls",
            ),
            Query(f"max by (instance) ({series('drain_seconds_left')} >= 0)", "{{instance}} seconds"),
        ),
        width=12,
    )


def _spans() -> Panel:
    return Panel(
        "Spans",
        "short",
        "Spans of traces by what became of them.",
        "failed: the backend of OTEL_EXPORTER_OTLP_ENDPOINT refuses or is down. dropped: it is too slow for us. Calls are not touched.",
        (Query(total("spans_total", by="result"), "{{result}}"),),
        "bars",
        width=6,
    )


def _faults() -> Panel:
    return Panel(
        "Faults in telemetry",
        "short",
        "Parts of our own telemetry that raised. Calls go on.",
        "Any at all is a defect: the log's first telemetry.failed line has the traceback. What rests on that part is too low here.",
        (Query(total("telemetry_failures_total", by="part"), "{{part}}"),),
        "bars",
        width=6,
    )


def _scrapes() -> Panel:
    return Panel(
        "Scrapes",
        "s",
        "How long Prometheus took to fetch the metrics of a machine. Bars are how many samples it got.",
        "Above a second: the machine is busy. More than 1500 samples: a label grows that should not; tell us.",
        (
            Query(f"max by (instance) ({series('scrape_duration_seconds')} {OURS})", "{{instance}}"),
            Query(f"sum({series('scrape_samples_scraped')} {OURS})", "n", count=True),
        ),
        width=6,
    )


def _garbage() -> Panel:
    collected = series("python_gc_collections_total", 'generation="2"')
    return Panel(
        "Garbage collections",
        "short",
        "Python's collections of the oldest generation, a minute: each stops the event loop for some milliseconds.",
        "Many, together with a late event loop: something makes a lot of objects that point at each other. Profile it.",
        (Query(f"60 * sum by (instance) (rate({collected}[$__rate_interval])) {OURS}", "{{instance}}"),),
        width=6,
    )


def _fly_load() -> Panel:
    return Panel(
        "Connections and connect time",
        "short",
        "What Fly's proxy sees of us: connections by machine.",
        "Far more than calls open: connections that are not calls, such as health checks that hang. Empty elsewhere than on Fly.",
        (
            Query(f"sum by (instance) ({series('fly_app_concurrency')})", "{{instance}}"),
            Query(f"sum by (instance) ({series('fly_instance_up')})", "{{instance}} up"),
        ),
    )


def _fly_ills() -> Panel:
    return Panel(
        "Machines that were killed or slowed",
        "short",
        "Out-of-memory kills, exits with an error, and CPU throttling, as Fly tells them.",
        "Kills: a larger machine, or a leak. Throttling: shared CPUs are used up; take performance CPUs for steady calls.",
        (
            Query(f"sum by (instance) ({series('fly_instance_exit_oom')})", "{{instance}} out of memory"),
            Query(
                f"sum by (instance) (rate({series('fly_instance_cpu_throttle')}[$__rate_interval]))",
                "{{instance}} throttled",
            ),
        ),
    )
