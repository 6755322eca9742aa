"""What Fly.io documents for fly.toml (https://fly.io/docs/reference/configuration/, read in November 2026).

Of each section the keys; a section that may come several times (`[[…]]`) is marked with "[]".
"""

KEYS: dict[str, set[str]] = {
    "": {"app", "primary_region", "kill_signal", "kill_timeout", "console_command", "swap_size_mb"},
    "build": {"builder", "buildpacks", "image", "dockerfile", "ignorefile", "build-target"},
    "deploy": {
        "release_command",
        "release_command_timeout",
        "strategy",
        "max_unavailable",
        "wait_timeout",
    },
    "http_service": {
        "processes",
        "internal_port",
        "force_https",
        "auto_stop_machines",
        "auto_start_machines",
        "min_machines_running",
    },
    "http_service.concurrency": {"type", "soft_limit", "hard_limit"},
    "http_service.http_options": {"idle_timeout", "h2_backend"},
    "http_service.checks[]": {
        "grace_period",
        "interval",
        "timeout",
        "method",
        "path",
        "protocol",
        "tls_server_name",
        "tls_skip_verify",
    },
    "metrics": {"port", "path", "processes"},
    "restart[]": {"policy", "retries", "processes"},
    "files[]": {"guest_path", "raw_value", "local_path", "secret_name", "processes"},
    "experimental": {"cmd", "entrypoint", "exec"},
    "vm[]": {
        "size",
        "memory",
        "cpus",
        "cpu_kind",
        "kernel_args",
        "host_dedication_id",
        "persist_rootfs",
        "processes",
    },
}
"""`[env]` is not here: its keys are one's own."""

CHOICES = {
    "kill_signal": {"SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP"},
    "deploy.strategy": {"rolling", "immediate", "canary", "bluegreen"},
    "http_service.auto_stop_machines": {"off", "stop", "suspend"},
    "http_service.concurrency.type": {"connections", "requests"},
    "restart[].policy": {"always", "never", "on-failure"},
    "vm[].cpu_kind": {"shared", "performance"},
}
LONGEST_KILL_TIMEOUT = 300
