"""The connection to Redis: made again whenever it is lost, never waited for long.

Only who asks while the first one is being made waits for it, as long as for an answer, so that
a service that has just started refuses nobody for that.

``txredisapi`` speaks the protocol. Its factories are not used: they give up for good when
Redis does not let them in, which is also what a Redis says that is still loading its data,
and their timers run on the global reactor.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol as Shape

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import (
    Deferred,
    TimeoutError as Overdue,
    fail,
    maybeDeferred,
)
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from apiproxy.core.values import Secret
from apiproxy.policy.ledger import LedgerUnavailable

_log = Logger()

_retry = backoffPolicy(initialDelay=0.1, maxDelay=5.0)


class _Transport(Shape):
    def abortConnection(self) -> None: ...


class Speaker(Shape):
    """What we use of a protocol of ``txredisapi``."""

    connected: int
    password: bytes | None
    transport: _Transport

    def execute_command(self, *words: bytes | str | int) -> Deferred[Any]:
        """Send one, and hear the answer."""

    def whenConnected(self) -> Deferred[Any]:
        """Once Redis has let us in; fires with the protocol."""

    def whenDisconnected(self) -> Deferred[Any]:
        """Once the connection is lost."""


def speaker() -> Callable[..., Speaker]:
    """The protocol's class.

    Raises:
        LedgerUnavailable: ``txredisapi`` is not installed.
    """
    # It cannot be imported without OpenSSL, which apiproxy.lean has left out. Who has a
    # Redis pays for it.
    if sys.modules.get("OpenSSL", "") is None:
        del sys.modules["OpenSSL"]
    try:
        module = import_module("txredisapi")
    except ImportError as error:
        raise LedgerUnavailable(
            f"Redis needs the extra apiproxy[redis]: {error}"
        ) from error
    made: Callable[..., Speaker] = module.RedisProtocol
    return made


class RedisLine(Factory):
    """One connection, and what becomes of the commands sent on it.

    Attributes:
        up: whether Redis can be asked now.
    """

    noisy = False
    isLazy = False  # asked for by txredisapi

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        *,
        database: int,
        username: str | None,
        password: Secret | None,
        timeout: float,
        ready: Callable[[], None],
    ) -> None:
        """Make it; it is made to connect by ``start``.

        Args:
            endpoint: where Redis is.
            clock: counts the seconds.
            database: its number.
            username: for Redis' access control lists; None for its default user.
            password: None if it asks for none.
            timeout: seconds for each answer.
            ready: called whenever Redis can be asked again.

        Raises:
            LedgerUnavailable: ``txredisapi`` is not installed.
        """
        self.up = False
        self._speaker = speaker()
        self._clock = clock
        self._database = database
        self._username = username
        self._password = password
        self._timeout = timeout
        self._ready = ready
        self._line: Speaker | None = None
        self._rejected = 0
        self._beginning: IDelayedCall | None = None
        self._early: list[Deferred[Any]] = []
        self._service = ClientService(
            endpoint,
            self,
            # A connection that was taken is a success for the service, even if we were not
            # let in.
            retryPolicy=lambda failed: _retry(max(failed, self._rejected)),
            clock=clock,
        )

    def start(self) -> None:
        """Connect, and stay connected."""
        self._beginning = self._clock.callLater(self._timeout, self._begun)
        self._service.startService()

    def stop(self) -> Deferred[None]:
        """Do not connect any more."""
        self._begun()
        stopped: Deferred[None] = self._service.stopService()
        return stopped

    def ask(self, *words: bytes | str | int) -> Deferred[Any]:
        """Send one command.

        Errors:
            LedgerUnavailable: there is no connection, no answer in time, or it is an error;
                whether anything was changed is not known then.
        """
        line = self._line
        if line is None and self._beginning is not None:
            first: Deferred[Any] = Deferred()
            self._early.append(first)
            return first.addCallback(lambda _: self.ask(*words))
        if line is None:
            return fail(LedgerUnavailable("there is no connection to Redis"))
        answer = maybeDeferred(line.execute_command, *words)
        timed = answer.addTimeout(self._timeout, self._clock)
        return timed.addErrback(self._unavailable, line)

    def _unavailable(self, failure: Failure, line: Speaker) -> Any:
        if failure.check(Overdue):
            # What comes after it would be late as well, and fails at once instead.
            line.transport.abortConnection()
            raise LedgerUnavailable(f"no answer from Redis in {self._timeout} s")
        raise LedgerUnavailable(f"Redis: {failure.getErrorMessage()}")

    def _begun(self) -> None:
        """Who asked while the first connection was being made waits no longer."""
        beginning, self._beginning = self._beginning, None
        if beginning is not None and beginning.active():
            beginning.cancel()
        early, self._early = self._early, []
        for first in early:
            first.callback(None)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Speak to Redis; it is asked once it has let us in."""
        line = self._speaker(
            charset=None,
            convertNumbers=False,
            dbid=self._database,
            username=self._username,
            password=None if self._password is None else self._password.reveal(),
        )
        line.factory = self  # type: ignore[attr-defined]  # as of any Protocol
        # A connection that was taken and does not speak would be waited for for ever.
        late = self._clock.callLater(self._timeout, self._too_late, line)
        line.whenConnected().addCallback(self._let_in)  # type: ignore[unused-awaitable]
        line.whenDisconnected().addCallback(  # type: ignore[unused-awaitable]
            self._lost, line, late
        )
        return line  # type: ignore[return-value]

    def _too_late(self, line: Speaker) -> None:
        if line is not self._line:
            self._rejected += 1
            line.transport.abortConnection()

    def _let_in(self, line: Speaker) -> None:
        line.password = None  # not needed any more
        self._line = line
        self.up = True
        self._rejected = 0
        self._begun()
        _log.info("connected to Redis")
        self._ready()

    def _lost(self, _: object, line: Speaker, late: Any) -> None:
        if late.active():
            late.cancel()
        if line is self._line:
            self._line = None
            self.up = False
            _log.warn("the connection to Redis is lost")

    def connectionError(self, why: str) -> None:
        """Told by ``txredisapi``: Redis has not let us in. It is tried again."""
        self._rejected += 1
        if self._rejected == 1:
            _log.error("Redis does not let us in: {why}", why=why)

    def stopTrying(self) -> None:
        """Asked by ``txredisapi``, when Redis has not let us in; we go on trying."""

    def __repr__(self) -> str:
        return f"<RedisLine {'up' if self.up else 'down'}>"
