"""The table of settings of the usage log, the control socket and what is kept on disk."""

from apiproxy.core.limits import MiB
from apiproxy.core.values import Secret
from apiproxy.ledger.open import read_place
from apiproxy.settings.kinds import (
    DIRECTORY,
    NAME,
    SOCKET,
    SWITCH,
    Kind,
    count,
    one_of,
    size,
)
from apiproxy.settings.option import Option

LEDGER = Kind(lambda text: read_place(Secret(text.encode())), lambda value: "")
"""Where a ledger is; its password stays where it is."""

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
        ("APIPROXY_METERING",),
        "metering",
        SWITCH,
        True,
        "Whether answers are read for what they used; off also lifts limits and budgets.",
    ),
    Option(
        ("APIPROXY_LEDGER",),
        "ledger",
        LEDGER,
        None,
        "Where budgets are counted: `redis://…`, a directory, `memory:`; else STATE_DIR.",
    ),
    Option(
        ("APIPROXY_LEDGER_AWAY",),
        "ledger_away",
        one_of("closed", "open"),
        "closed",
        "Whether requests pass (open) or are refused while the ledger cannot be reached.",
    ),
    Option(
        ("APIPROXY_MAX_HELD_BYTES",),
        "max_held",
        size(1),
        256 * MiB,
        "Bytes of request bodies held at once for rules that must see them whole.",
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
