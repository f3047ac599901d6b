"""All contestants side by side in front of one provider, each ready when its turn comes."""

import contextlib
import time
from collections.abc import Iterator

from bench.bout import Bout, Meter
from bench.peers import DIRECT, Contestant, Started
from bench.processes import Unavailable

_REST_PERCENT = 10.0
_LOOK_SECONDS = 0.2
_PATIENCE = 10.0


class Ring:
    """Contestants that are up.

    They idle on the same core while another is measured, at less than a percent of it.
    """

    def __init__(self, bout: Bout, upstream: int, kind: str) -> None:
        """A ring with nobody in it.

        Args:
            bout: the run.
            upstream: port of the provider.
            kind: for the names of files, and for what is noted.
        """
        self._bout = bout
        self._upstream = upstream
        self._kind = kind
        self._up: dict[str, Started] = {}
        self._last = DIRECT.name
        self._instead: dict[str, Contestant] = {}

    def open(self) -> None:
        """Start everyone; those who do not start are noted and left out."""
        self._up[DIRECT.name] = DIRECT.start(self._bout.rig, self._upstream, "")
        for name in self._bout.contestants:
            self._bout.say(f"starting {name} ({self._kind})")
            try:
                self._start(name)
            except Unavailable as error:
                self._bout.result.absent(f"all {self._kind} rows", name, str(error))

    def close(self) -> None:
        """End everyone."""
        for started in self._up.values():
            self._bout.end(started)
        self._up.clear()

    def _start(self, name: str) -> None:
        contestant = self._instead.get(name, self._bout.contestants[name])
        file = f"{name}-{self._kind}"
        self._up[name] = contestant.start(self._bout.rig, self._upstream, file)

    def names(self, direct: bool = False) -> list[str]:
        """Who is here.

        Args:
            direct: with the provider itself, which is measured without a proxy.
        """
        return [name for name in self._up if direct or name != DIRECT.name]

    def put(self, contestant: Contestant) -> None:
        """Let this one stand in for the one of its name from now on.

        Raises:
            Unavailable: it does not start, or nobody of its name is here.
        """
        name = contestant.name
        if name not in self._up:
            raise Unavailable(f"{name} is not here")
        self._bout.end(self._up[name])
        self._instead[name] = contestant
        self._start(name)

    def ready(self, name: str) -> Started:
        """One of them, up and done with what was asked of it before.

        One that has ended, or never comes to rest, is started anew. So is the one whose turn
        was before: some go on reading streams whose agents have left, and would keep the
        provider busy for all who follow.

        Raises:
            Unavailable: it does not start again.
        """
        before, self._last = self._last, name
        if before != name and before in self._up:
            with contextlib.suppress(Unavailable):
                self._rested(before)
        return self._rested(name)

    def _rested(self, name: str) -> Started:
        one = self._up[name]
        if not _is_at_rest(one):
            self._bout.say(f"  {name} is started anew")
            self._bout.end(one)
            try:
                self._start(name)
            except Unavailable as error:
                del self._up[name]
                self._bout.result.absent(f"later {self._kind} rows", name, str(error))
                raise
        return self._up[name]


def _is_at_rest(one: Started) -> bool:
    if one.running is None:
        return True
    until = time.monotonic() + _PATIENCE
    while one.running.alive and time.monotonic() < until:
        meter = Meter(one.running)
        time.sleep(_LOOK_SECONDS)
        if meter.busy() < _REST_PERCENT:
            return one.running.alive
    return False


@contextlib.contextmanager
def ring(bout: Bout, upstream: int, kind: str) -> Iterator[Ring]:
    """Everyone in front of a provider, for a while."""
    made = Ring(bout, upstream, kind)
    try:
        made.open()
        yield made
    finally:
        made.close()
