"""How we stop: take nothing new, let what runs end, abort the rest."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from apiproxy.wire.site import ProviderSite

_LOOK_SECONDS = 0.1
_SETTLE_SECONDS = 2.0


class Drain:
    """The end of all listeners."""

    def __init__(self, sites: Sequence[ProviderSite], clock: IReactorTime) -> None:
        self._sites = sites
        self._clock = clock
        self._hurried = False

    def hurry(self) -> None:
        """Wait no longer."""
        self._hurried = True

    def start(self, grace: float) -> Deferred[bool]:
        """Begin; the listening ports are closed already.

        Args:
            grace: seconds that live exchanges get.

        Returns:
            Fires when all is over: True if everything ended by itself.
        """
        return Deferred.fromCoroutine(self._drain(grace))

    async def _drain(self, grace: float) -> bool:
        for site in self._sites:
            site.drain()
        end = self._clock.seconds() + grace
        await self._wait(end, lambda: self.quiet or self._hurried)
        in_order = self.quiet
        for site in self._sites:
            site.abort()
            site.route.pool.close()
        end = self._clock.seconds() + _SETTLE_SECONDS
        await self._wait(end, lambda: all(site.empty for site in self._sites))
        return in_order

    async def _wait(self, end: float, over: Callable[[], bool]) -> None:
        """Until it is over, or time is up."""
        while not over() and self._clock.seconds() < end:
            await deferLater(self._clock, _LOOK_SECONDS, lambda: None)

    @property
    def quiet(self) -> bool:
        """Whether nothing is going on any more."""
        return all(site.quiet for site in self._sites)
