"""The table of settings of the usage log, the control socket and what is kept on disk."""

from apiproxy.settings.kinds import DIRECTORY, NAME, SOCKET, count, size
from apiproxy.settings.option import Option

MiB = 1024 * 1024

METERING = (
    Option(
        ("APIPROXY_USAGE_LOG_DIR", "AWF_TOKEN_LOG_DIR"),
        "usage_log_dir",
        DIRECTORY,
        None,
        "Directory of `token-usage.jsonl`, a line for each response; unset for none.",
    ),
    Option(
        ("APIPROXY_USAGE_LOG_BYTES",),
        "usage_log_bytes",
        size(64 * 1024),
        64 * MiB,
        "Bytes after which that file is turned over.",
    ),
    Option(
        ("APIPROXY_USAGE_LOG_FILES",),
        "usage_log_files",
        count(0),
        4,
        "Earlier files that are kept, as `token-usage.jsonl.1` and so on.",
    ),
    Option(
        ("APIPROXY_STATE_DIR",),
        "state_dir",
        DIRECTORY,
        None,
        "Directory of what outlives a restart; unset for nothing.",
    ),
    Option(
        ("APIPROXY_RUN_ID", "GITHUB_RUN_ID"),
        "run_id",
        NAME,
        "default",
        "The run that is counted and limited, if several share a ledger.",
    ),
    Option(
        ("APIPROXY_CONTROL_SOCKET",),
        "control_socket",
        SOCKET,
        None,
        "Unix socket that shows all and changes budgets, mode 0600; unset for none.",
    ),
)
