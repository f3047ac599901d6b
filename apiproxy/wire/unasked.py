"""Responses on a WebSocket that nobody has asked for.

Realtime and Live also answer what they hear. Where a rule has to see requests, such a response
is judged when it begins, or at the latest when it is over. It cannot be taken back; but if it
may not be, the socket is closed, and nobody hears a second one.
"""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from apiproxy.core.errors import ProxyError
from apiproxy.core.exchange import Complain, Exchange
from apiproxy.core.usage import Demand
from apiproxy.wire.failures import ours
from apiproxy.wire.metering import Metering
from apiproxy.wire.passage import Passage


class Unasked:
    """Those of one socket that are being judged."""

    def __init__(
        self,
        metering: Metering,
        exchange: Exchange,
        welcome: Callable[[Passage], None],
        unwelcome: Callable[[ProxyError], None],
        complain: Complain,
    ) -> None:
        """None so far.

        Args:
            metering: lets them pass, or not.
            exchange: the socket's story.
            welcome: told of each that may be.
            unwelcome: told why one may not be.
            complain: told of bugs.
        """
        self._metering = metering
        self._exchange = exchange
        self._welcome = welcome
        self._unwelcome = unwelcome
        self._complain = complain
        self._judging: list[tuple[Demand, Deferred[None]]] = []

    def meet(self, demand: Demand) -> None:
        """Judge a response that is there already."""
        if any(demand is one for one, _ in self._judging):
            return
        judging = Deferred.fromCoroutine(self._judge(demand))
        if not judging.called:
            self._judging.append((demand, judging))
        _ = judging.addErrback(self._refuse)

    async def _judge(self, demand: Demand) -> None:
        """Have it set aside what it may cost."""
        try:
            passage = await self._metering.admit(self._exchange, demand)
        finally:
            self._judging = [each for each in self._judging if each[0] is not demand]
        self._welcome(passage)

    def _refuse(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        error = ours(failure, self._complain, "a response could not be judged")
        self._metering.refused(self._exchange, error)
        self._unwelcome(error)

    def end(self) -> None:
        """Nothing is judged any more."""
        for _, judging in list(self._judging):
            judging.cancel()
