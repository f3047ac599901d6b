"""What a port answers itself, and the request that waits for such an answer.

Most of these answers are there at once. One that has to be asked for elsewhere comes later,
and until then somebody has to notice that the agent left, and to throw away a body.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from apiproxy.core.errors import ProxyError
from apiproxy.wire.failures import ours
from apiproxy.wire.request import AgentRequest


class Local(Protocol):
    """A local endpoint's answer."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def content_type(self) -> bytes:
        """Media type."""

    @property
    def body(self) -> bytes:
        """The body."""


# Any: a Deferred is invariant, so that one of a kind of Local would be none of Local.
Endpoint = Callable[[bytes | None], Local | Deferred[Any]]
"""Renders a local endpoint, now or later, for the value of ``Accept`` (None for none)."""


class Answering(Protocol):
    """Gives the answers (``wire.site``)."""

    def answer(self, request: AgentRequest, local: Local) -> None:
        """Give a local answer."""

    def refuse(self, request: AgentRequest, error: ProxyError) -> None:
        """Give an error instead."""

    def complain(self, sentence: str, error: BaseException) -> None:
        """A bug, contained."""


class Awaited:
    """Serves a request whose local answer comes later."""

    def __init__(
        self, site: Answering, request: AgentRequest, local: Deferred[Any]
    ) -> None:
        self._site = site
        self._request = request
        self._local = local
        request.server = self
        _ = local.addCallback(self._answered).addErrback(self._failed)

    def _answered(self, local: Local) -> None:
        self._site.answer(self._request, local)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        sentence = "a request could not be answered here"
        error = ours(failure, self._site.complain, sentence)
        self._site.refuse(self._request, error)

    # What the channel tells.

    def agent_lost(self, error: ProxyError | None) -> None:
        """The agent left; or, with an error, broke the protocol and gets that answer."""
        self._local.cancel()
        if error is not None:
            self._site.refuse(self._request, error)

    def body_data(self, payload: bytes) -> None:
        """Nobody wants it."""

    def body_ended(self) -> None:
        """Nobody waited for that."""

    def agent_full(self) -> None:
        """Little is sent."""

    def agent_ready(self) -> None:
        """Nothing waits for it."""

    def look(self, now: float) -> None:
        """Whoever gives the answer has a deadline for it."""
