"""How much of everything a run does."""

from attrs import evolve, frozen

PLAIN_ROWS = frozenset({"http_32", "http_8", "http_1", "latency_1", "latency_64"})
LIVE_ROWS = frozenset({"sse", "ws", "deflate", "gap", "stall_free", "upload"})
OTHER_ROWS = frozenset({"starts", "crowd", "connects", "growth", "workers", "metering"})
ALL_ROWS = PLAIN_ROWS | LIVE_ROWS | OTHER_ROWS


@frozen(kw_only=True)
class Plan:
    """One run.

    Attributes:
        repeats: rounds of every measurement.
        slow_repeats: rounds of those contestants that are slow, if that is less.
        seconds: of each measurement of latency, or of what the slow do.
        cost_repeats: rounds of what a unit of work costs. The machine's mood changes within
            seconds, so that many short rounds tell more than a few long ones.
        cost_seconds: of each of them.
        parts: what is measured; see the names above.
        contestants: by name.
        crowd: WebSockets, and as many streams, held idle.
        slow_crowd: the same for those that are slow.
        crowd_repeats: rounds of the crowd.
        quiet: seconds of the crowd's silence in which CPU is counted, where the contestant
            has something to do in it; see ``Contestant.pings``.
        starts: times that everyone is started.
        sequence: requests in sequence while Squid's log is watched.
        stall_limit: the largest number of paced streams to try.
        stall_repeats: times that the largest number is looked for.
        growth: numbers of live streams.
        growth_repeats: rounds of those.
    """

    repeats: int = 3
    slow_repeats: int = 1
    seconds: float = 3.0
    cost_repeats: int = 9
    cost_seconds: float = 1.5
    parts: frozenset[str] = ALL_ROWS
    contestants: tuple[str, ...] = (
        "apiproxy",
        "nginx",
        "haproxy",
        "mitmproxy",
        "litellm",
        "portkey",
    )
    crowd: int = 1000
    slow_crowd: int = 100
    crowd_repeats: int = 2
    quiet: float = 66.0
    starts: int = 5
    sequence: int = 10_000
    stall_limit: int = 1024
    stall_repeats: int = 2
    growth: tuple[int, ...] = (1, 10, 100, 1000)
    growth_repeats: int = 4

    def with_repeats(self, repeats: int) -> "Plan":
        """The same with so many rounds, or fewer where it has fewer."""
        return evolve(
            self,
            repeats=repeats,
            cost_repeats=3 * repeats,
            crowd_repeats=min(repeats, self.crowd_repeats),
            starts=min(repeats, self.starts),
            stall_repeats=min(repeats, self.stall_repeats),
            growth_repeats=min(repeats, self.growth_repeats),
        )


FULL = Plan()

QUICK = Plan(
    repeats=2,
    seconds=1.0,
    cost_repeats=2,
    cost_seconds=1.0,
    parts=frozenset(
        {
            "http_32",
            "latency_1",
            "sse",
            "ws",
            "starts",
            "crowd",
            "connects",
            "metering",
        }
    ),
    contestants=("apiproxy", "nginx"),
    crowd=100,
    crowd_repeats=1,
    quiet=1.0,
    starts=1,
    sequence=500,
)

SMOKE = Plan(
    repeats=1,
    seconds=1.0,
    cost_repeats=1,
    cost_seconds=1.0,
    crowd=40,
    slow_crowd=10,
    crowd_repeats=1,
    quiet=2.0,
    starts=1,
    sequence=200,
    stall_limit=32,
    stall_repeats=1,
    growth=(1, 10, 40),
    growth_repeats=1,
)
"""Every row and every contestant as briefly as can be: whether it works, not what it says."""
