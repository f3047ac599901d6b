"""The table of settings that belong to no provider."""

from apiproxy.core.egress import NoProxy
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.settings.access_options import ACCESS
from apiproxy.settings.kinds import (
    ADDRESSES,
    NO_PROXY,
    PATH,
    PROXY,
    SWITCH,
    WORKERS,
    Kind,
    count,
    one_of,
    seconds,
    size,
)
from apiproxy.settings.metering_options import METERING
from apiproxy.settings.option import Option
from apiproxy.settings.policy_options import POLICY

__all__ = ["OPTIONS", "Option"]

_HOW_LONG = Deadlines()
_HOW_MUCH = Limits()


def _deadline(name: str, doc: str) -> Option:
    return Option(
        (f"APIPROXY_{name.upper()}_SECONDS",),
        f"deadlines.{name}",
        seconds(),
        getattr(_HOW_LONG, name),
        doc,
    )


def _limit(variable: str, name: str, kind: Kind, doc: str) -> Option:
    default = getattr(_HOW_MUCH, name)
    return Option((f"APIPROXY_{variable}",), f"limits.{name}", kind, default, doc)


_GENERAL = (
    Option(
        ("APIPROXY_BIND",),
        "bind",
        ADDRESSES,
        ("127.0.0.1",),
        "Addresses that all ports listen on, with commas between them.",
    ),
    Option(
        ("APIPROXY_LOG_LEVEL",),
        "log_level",
        one_of("debug", "info", "warning", "error"),
        "info",
        "Least important level that is logged.",
    ),
    Option(
        ("APIPROXY_VALIDATE_KEYS", "AWF_VALIDATE_KEYS"),
        "validate_keys",
        one_of("off", "warn", "strict"),
        "warn",
        "Ask each provider at start whether it takes its key; strict exits with 1.",
    ),
    Option(
        ("APIPROXY_LEAN_IMPORTS",),
        "lean_imports",
        SWITCH,
        True,
        "Leave out Python packages that serving does not need; only by environment.",
        toml=False,
    ),
    Option(
        ("APIPROXY_LEAN_IO",),
        "lean_io",
        SWITCH,
        True,
        "Send at once, and serve ready sockets without detours; off: as Twisted does.",
    ),
    Option(
        ("APIPROXY_GRACE_SECONDS",),
        "grace",
        seconds(zero=True),
        20.0,
        "Seconds that live exchanges get at shutdown.",
    ),
    Option(
        ("APIPROXY_WATCH_SECONDS",),
        "watch",
        seconds(zero=True),
        5.0,
        "Seconds between looks at files with keys, callers, …; 0: only SIGHUP reads them.",
    ),
    Option(
        ("APIPROXY_WEBSOCKET",),
        "websockets",
        SWITCH,
        True,
        "Whether WebSockets are carried; off answers them with 426.",
    ),
    Option(
        ("APIPROXY_WORKERS",),
        "workers",
        WORKERS,
        1,
        "Processes that serve, or auto for one on each CPU; Linux only if above 1.",
    ),
)

_EGRESS = (
    Option(
        ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
        "egress.proxy",
        PROXY,
        None,
        "Proxy that every connection tunnels through: `http://user:password@host:port`.",
    ),
    Option(
        ("NO_PROXY", "no_proxy"),
        "egress.no_proxy",
        NO_PROXY,
        NoProxy(),
        "Hosts, `.suffixes`, addresses and ranges that are reached without it.",
    ),
    Option(
        ("APIPROXY_REQUIRE_PROXY",),
        "egress.require_proxy",
        SWITCH,
        False,
        "Refuse to start when a provider would be reached without a proxy.",
    ),
    Option(
        ("APIPROXY_CA_FILE",),
        "egress.ca_file",
        PATH,
        None,
        "PEM file of authorities that are trusted beside the system's.",
    ),
    Option(
        ("SSL_CERT_FILE",),
        "egress.ssl_cert_file",
        PATH,
        None,
        "The same, under the name OpenSSL knows.",
        toml=False,
    ),
)

_DEADLINES = (
    _deadline("dial", "Seconds for a TCP connection on the way upstream."),
    _deadline("connect", "Seconds for the proxy's answer to CONNECT."),
    _deadline("tls", "Seconds for a TLS handshake."),
    _deadline("head", "Seconds for an agent's request head."),
    _deadline("body", "Seconds without progress of an agent's request body."),
    _deadline("first_byte", "Seconds for the first byte of an answer."),
    _deadline("silence", "Seconds without a byte in the middle of an answer."),
    _deadline("write_stall", "Seconds in which a full connection takes nothing."),
    _deadline("keepalive", "Seconds an agent's idle connection is kept."),
    _deadline("line_idle", "Seconds a warm upstream line is kept."),
    _deadline("ping", "Seconds of idleness before we ping on a WebSocket."),
)

_LIMITS = (
    _limit("MAX_BODY_BYTES", "body", size(1), "Bytes of one request body."),
    _limit("MAX_HEAD_BYTES", "head", size(1024), "Bytes of one request head."),
    _limit("MAX_HEADER_FIELDS", "fields", count(16), "Header lines of one request."),
    _limit("MAX_MESSAGE_BYTES", "message", size(1), "Bytes of a WebSocket message."),
    _limit("MAX_EXCHANGES", "exchanges", count(1), "Exchanges under way at once."),
    _limit("MAX_CONNECTIONS", "connections", count(1), "Agent connections at once."),
    _limit("MAX_PEER_CONNECTIONS", "peer", count(1), "Those of one IP address."),
    _limit("MAX_IDLE_LINES", "idle_lines", count(0), "Warm lines for each provider."),
    _limit("REPLAY_BYTES", "replay", size(0), "Bytes of a body kept for one retry."),
)

OPTIONS = (*_GENERAL, *METERING, *_EGRESS, *_DEADLINES, *_LIMITS, *POLICY, *ACCESS)
