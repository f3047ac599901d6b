"""HTTP on the control socket: few requests, one at a time, from people and their scripts.

So this is ``twisted.web`` as it comes, with what it does not have: bodies are bounded while
they arrive (it would write long ones to the disk), and who asks is seen before what is asked.
"""

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from apiproxy.admin.answer import JSON
from apiproxy.admin.control.desk import Desk, Who
from apiproxy.admin.control.orders import BadOrder
from apiproxy.policy.ledger import LedgerUnavailable

_log = Logger()

MAX_BODY = 16 * 1024
"""Bytes of a request's body."""

_SECONDS = 60.0
_PEER = struct.Struct("3i")

Show = Callable[[], Awaitable[object]]
Act = Callable[[bytes, Who], Awaitable[object]]


class BoundedRequest(Request):
    """A request whose body is not kept beyond ``MAX_BODY``."""

    too_large = False

    def gotLength(self, length: int | None) -> None:
        """A body is about to come; it is kept in memory, whatever it is said to be."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what came, or note that it is too much."""
        assert self.content is not None
        if self.content.tell() + len(data) > MAX_BODY:
            self.too_large = True
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]


def peer(transport: Any) -> Who:
    """Who is at the other end."""
    line: socket.socket | None = getattr(transport, "socket", None)
    if line is None or not hasattr(socket, "SO_PEERCRED"):
        return Who(0, -1)
    data = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(data)
    return Who(pid, uid)


class _Root(Resource):
    """Every request, whatever its path."""

    isLeaf = True

    def __init__(self, desk: Desk, owners: frozenset[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._desk = desk
        self._owners = owners
        self._shows: dict[bytes, Show] = {
            b"/state": desk.state,
            b"/budget": desk.budget,
        }
        self._acts: dict[bytes, Act] = {
            b"/budget": desk.change_budget,
            b"/stop": desk.stop,
            b"/drain": desk.drain,
            b"/reload": desk.reload,
        }

    def render(self, request: Request) -> int:
        """Begin to answer."""
        # Who asked may leave; what was asked is done all the same.
        _ = request.notifyFinish().addErrback(lambda _: None)
        story = Deferred.fromCoroutine(self._serve(request))
        _ = story.addErrback(self._broken, request)
        return NOT_DONE_YET

    async def _serve(self, request: Request) -> None:
        assert isinstance(request, BoundedRequest)
        who = peer(request.channel.transport)
        if who.uid not in self._owners:
            self._desk.refused(who)
            return _answer(
                request, 403, _error("forbidden", "This socket is not yours.")
            )
        if request.too_large:
            message = f"A body has at most {MAX_BODY} bytes."
            return _answer(request, 413, _error("body_too_large", message))
        try:
            _answer(request, *await self._told(request, who))
        except BadOrder as error:
            _answer(request, 400, _error("bad_order", str(error)))
        except LedgerUnavailable as error:
            _answer(request, 503, _error("ledger_unavailable", str(error)))

    async def _told(self, request: Request, who: Who) -> tuple[int, object]:
        path = request.path
        show, act = self._shows.get(path), self._acts.get(path)
        if show is not None and request.method in (b"GET", b"HEAD"):
            return 200, await show()
        if act is not None and request.method == b"POST":
            assert request.content is not None
            return 200, await act(request.content.read(), who)
        if show is None and act is None:
            return 404, _error(
                "not_found", "There are /state, /budget, /stop, /drain, /reload."
            )
        return 405, _error("method_refused", "This cannot be asked in this way.")

    def _broken(self, failure: Failure, request: Request) -> None:
        _log.failure("the control socket could not answer", failure=failure)
        _answer(request, 500, _error("internal_error", "The log has a traceback."))


def _error(code: str, message: str) -> object:
    return {"error": {"code": code, "message": message}}


def _answer(request: Request, status: int, value: object) -> None:
    if getattr(request, "channel", None) is None:  # who asked has left
        return
    body = msgspec.json.encode(value) + b"\n"
    request.setResponseCode(status)
    request.setHeader(b"content-type", JSON)
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(b"" if request.method == b"HEAD" else body)
    request.finish()


class ControlSite(Site):
    """Makes the connections of the control socket; writes no log of its own."""

    def __init__(self, desk: Desk, reactor: IReactorTime) -> None:
        """A site.

        Args:
            desk: carries out what is asked.
            reactor: sets deadlines.
        """
        owners = frozenset((0, os.geteuid()))
        super().__init__(  # type: ignore[no-untyped-call]
            _Root(desk, owners),
            requestFactory=BoundedRequest,
            timeout=_SECONDS,
            reactor=reactor,
        )
        self.displayTracebacks = False
        self.noisy = False

    def log(self, request: HTTPRequest) -> None:
        """Nothing: changes are in the log, and who looks is no news."""
