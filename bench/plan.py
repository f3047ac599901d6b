"""How much of everything a run does."""

from attrs import frozen

PLAIN_ROWS = frozenset({"http_32", "http_8", "http_1", "latency_1", "latency_64"})
LIVE_ROWS = frozenset({"sse", "ws", "deflate", "gap", "stall_free", "upload"})
OTHER_ROWS = frozenset({"starts", "crowd", "connects", "growth", "workers"})


@frozen(kw_only=True)
class Plan:
    """One run.

    Attributes:
        repeats: rounds of every measurement.
        seconds: of each measurement of CPU or latency.
        parts: what is measured; see the names above.
        contestants: by name.
        crowd: WebSockets, and as many streams, held idle.
        crowd_repeats: rounds of the crowd.
        starts: times that everyone is started.
        sequence: requests in sequence while Squid's log is watched.
        stall_limit: the largest number of paced streams to try.
        growth: numbers of live streams.
    """

    repeats: int = 3
    seconds: float = 4.0
    parts: frozenset[str] = PLAIN_ROWS | LIVE_ROWS | OTHER_ROWS
    contestants: tuple[str, ...] = (
        "apiproxy",
        "nginx",
        "haproxy",
        "mitmproxy",
        "litellm",
        "portkey",
    )
    crowd: int = 1000
    crowd_repeats: int = 3
    starts: int = 5
    sequence: int = 10_000
    stall_limit: int = 1024
    growth: tuple[int, ...] = (1, 10, 100, 1000)


FULL = Plan()

QUICK = Plan(
    repeats=3,
    seconds=1.0,
    parts=frozenset(
        {"http_32", "latency_1", "sse", "ws", "starts", "crowd", "connects"}
    ),
    contestants=("apiproxy", "nginx", "haproxy"),
    crowd=200,
    crowd_repeats=1,
    starts=2,
    sequence=1_000,
    stall_limit=512,
    growth=(1, 10, 100),
)
