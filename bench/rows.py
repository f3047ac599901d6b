"""The rows of the table: what each means, its unit, and the figure to reach."""

from attrs import frozen


@frozen
class Row:
    """One line of the table.

    Attributes:
        key: stable, for the JSON.
        title: what was measured.
        unit: of the samples.
        target: what apiproxy is to reach, in words; empty where nothing was promised.
        against_nginx: whether the ratio to nginx is of interest.
    """

    key: str
    title: str
    unit: str
    target: str = ""
    against_nginx: bool = False


_CPU = "CPU µs"

ROWS = (
    Row("http_32", "HTTP request, 32 connections", _CPU, "≤ 2.5 x nginx", True),
    Row("http_8", "HTTP request, 8 connections", _CPU, "", True),
    Row("http_1", "HTTP request, 1 connection", _CPU, "", True),
    Row("sse", "SSE event, 50 streams paced at 10 ms", _CPU, "≤ 1.8 x nginx", True),
    Row("ws_100", "WebSocket round trip, 100 B", _CPU, "≤ 1.6 x nginx", True),
    Row("ws_10k", "WebSocket round trip, 10 kB", _CPU, "≤ 1.0 x nginx", True),
    Row("ws_100_deflate", "WebSocket round trip, deflate, 100 B", _CPU, "", True),
    Row("ws_10k_deflate", "WebSocket round trip, deflate, 10 kB", _CPU, "", True),
    Row("rate", "requests a second on one core, 32 connections", "1/s", "≥ 5,000"),
    Row("rate_busy", "… the proxy's core was busy for", "%"),
    Row("added_1_p50", "added latency, 1 warm connection, p50", "ms", "≤ 0.4"),
    Row("added_1_p99", "… p99", "ms", "≤ 1.5"),
    Row("added_64_p50", "added latency, 64 connections at about 640/s, p50", "ms"),
    Row("added_64_p99", "… p99", "ms"),
    Row("first_cold", "first byte, new process, cold tunnel", "ms"),
    Row("first_warm", "first byte, new connection, warm tunnel", "ms"),
    Row("gap_p99", "added to the gap between events, 50 streams at 20 ms, p99", "ms"),
    Row("stall_free", "stall-free streams paced at 20 ms", "streams", "≥ 512"),
    Row("stall_free_busy", "… the proxy's core was busy for", "%"),
    Row("stall_free_rig", "… the other core (agents, provider)", "%"),
    Row("stall_squid", "… the same through Squid", "streams"),
    Row("stall_squid_busy", "… … the proxy's core was busy for", "%"),
    Row("stall_squid_rig", "… … the other core (agents, Squid, provider)", "%"),
    Row("upload_p99", "50 streams at 20 ms beside 10 MiB uploads, lateness p99", "ms"),
    Row("upload_rate", "… the uploads", "MB/s"),
    Row("listening", "start to listening", "s", "≤ 0.8"),
    Row("idle", "memory, idle", "MB", "≤ 70"),
    Row("per_socket", "memory, each idle WebSocket", "kB", "≤ 40"),
    Row("idle_cpu", "CPU with those idle WebSockets", "% of a core"),
    Row("per_stream", "memory, each open stream", "kB", "≤ 60"),
    Row("crowd", "memory with both crowds at once", "MB", "< 120"),
    Row("crowd_first", "… a new request then, median", "ms", "< 50"),
    Row("workers_1", "HTTP request, 32 connections, one process", _CPU),
    Row(
        "workers_strangers",
        "… two processes that do not know each other, on the same core",
        _CPU,
    ),
    Row(
        "workers_2",
        "… two workers and their front, on the same core",
        _CPU,
        "≤ 1.1 x one process",
    ),
    Row("workers_full", "… … with 32 connections for each of the two", _CPU),
    Row(
        "workers_apart",
        "… the same, a core for each worker",
        _CPU,
        "≤ 1.1 x one process",
    ),
    Row("workers_share", "… of the workers' CPU, the busier one's part", "%"),
    Row("metered_event", "SSE event, metered against not", "%", "≤ 110"),
    Row("metered_request", "HTTP request, metered against not", "%"),
    Row("metered_trip", "WebSocket round trip, 100 B, metered against not", "%"),
    Row("connects", "CONNECTs in Squid's log, requests in sequence", "", "≤ 5"),
)


def by_key(key: str) -> Row:
    """The row of this key.

    Raises:
        KeyError: there is none.
    """
    for row in ROWS:
        if row.key == key:
            return row
    raise KeyError(key)
