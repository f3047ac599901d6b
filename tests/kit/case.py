"""The base of tests that need the real reactor."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.kit.line import IReactor

T = TypeVar("T")


class Startable(Protocol):
    """Something with a beginning and an end: a provider or a Squid."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End, completely."""


S = TypeVar("S", bound=Startable)


def the_reactor() -> IReactor:
    """The process's reactor: the only place of the tests that asks for it."""
    from twisted.internet import reactor  # noqa: TID251

    return cast(IReactor, reactor)


class LoopbackCase(TestCase):
    """A test on real sockets. Tests are coroutines.

    Attributes:
        reactor: the real one.
    """

    timeout = 60  # seconds; generous, and nothing is decided by it

    def setUp(self) -> None:
        """Take the reactor."""
        self.reactor = the_reactor()

    async def started(self, thing: S) -> S:
        """Start something, and have it stopped after the test."""
        self.addCleanup(self.ended, thing.stop)
        await thing.start()
        return thing

    def ended(self, coroutine: Callable[[], Awaitable[object]]) -> Deferred[object]:
        """A coroutine as the Deferred that ``addCleanup`` wants."""

        async def story() -> object:
            return await coroutine()

        return Deferred.fromCoroutine(story())

    async def until(
        self, condition: Callable[[], object], seconds: float = 30.0
    ) -> None:
        """Wait until something is so, whatever makes it so.

        Args:
            condition: asked again and again.
            seconds: after which the test fails.
        """
        end = self.reactor.seconds() + seconds
        while not condition():
            if self.reactor.seconds() > end:
                self.fail(f"not so after {seconds} seconds")
            await deferLater(self.reactor, 0.005)

    async def until_still(self, value: Callable[[], object], turns: int = 50) -> None:
        """Wait until a value has stopped changing: until back-pressure has come through.

        A slow machine may look still when it is not, so only an upper bound of the
        value may be asserted after it.

        Args:
            value: such as ``lambda: request.sent``.
            turns: how many looks in a row, 5 ms apart, have to see the same.
        """
        last, same = value(), 0

        def still() -> bool:
            nonlocal last, same
            now = value()
            last, same = now, same + 1 if now == last else 0
            return same >= turns

        await self.until(still)
