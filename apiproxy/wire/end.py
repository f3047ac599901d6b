"""One side of an open WebSocket: what comes from it, and what we say to it ourselves.

Its bytes go on to the other side as they arrive; a ``FrameScanner`` reads them on the way.
When one side does not read as fast as the other sends, the other is not read. A ping or a
Close of ours stands between two frames of the other side, or not at all.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.core.frames import (
    PING,
    FrameScanner,
    MessageTooLarge,
    close_frame,
    control_frame,
)
from apiproxy.wire.atonce import sender
from apiproxy.wire.transport import Transport, transport_of
from apiproxy.wire.watch import Stall


@implementer(IPushProducer)
class End(Protocol):
    """One side of a bridge: its connection, and what is known of it.

    Attributes:
        other: the other side.
        write: sends bytes to this side.
        scanner: follows the frames that come from here.
        heard: bytes that came from here.
        passed: bytes that were handed on to the other side.
        full: whether this side does not read as fast as the other sends.
        tap: where what comes from here goes instead of to the other side, and with it
            what the scanner knows of it (``FrameScanner.whole``).
        gone: whether its connection is lost, or cut by us.
        closed_first: whether the first Close of the two came from here.
        spoke_last: whether the last message of the two came from here; a ping or a pong is
            none.
    """

    other: "End"
    write: Callable[[bytes], None]
    tap: Callable[[bytes, int], None] | None = None

    def __init__(
        self, limit: int, mask: Callable[[], bytes], lost: Callable[[], None]
    ) -> None:
        """An end that is not connected yet.

        Args:
            limit: bytes a message may have.
            mask: makes the mask of a frame of ours toward this side.
            lost: told when the connection is gone.
        """
        self.scanner = FrameScanner(limit)
        self.heard = 0
        self.passed = 0
        self.full = False
        self.gone = False
        self.closed_first = False
        self.spoke_last = False
        self._mask = mask
        self._lost = lost
        self._too_big: Callable[[], None] = lambda: None
        self._deaf = False
        self._held = False
        self._hanging_up = False
        self._silence = Stall()
        self._pinged = 0

    def join(self, line: Transport, other: "End", too_big: Callable[[], None]) -> None:
        """Take the connection, and hand what comes on it to ``other``."""
        self.other = other
        self._too_big = too_big
        self.write = sender(line)
        line.protocol = self
        self.makeConnection(line)  # type: ignore[no-untyped-call]

    @property
    def line(self) -> Transport:
        """The connection."""
        return transport_of(self)

    # What the connection calls.

    def connectionMade(self) -> None:
        """Be told when this side is full."""
        self.line.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Hand it on."""
        scanner, other = self.scanner, self.other
        self.heard += len(data)
        if self._deaf:
            return
        before = scanner.messages
        try:
            data = scanner.feed(data)
        except MessageTooLarge:
            self._too_big()
            return
        if scanner.messages != before:
            self.spoke_last, other.spoke_last = True, False
        self.passed += len(data)
        if scanner.closed and not other.scanner.closed:
            self.closed_first = True
        if self.tap is None:
            other.write(data)
        else:
            self.tap(data, scanner.whole)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """This side is gone."""
        self.gone = True
        self._lost()
        # Whoever knows itself through us would live on until garbage is collected.
        del self._lost, self._too_big, self.other
        self.tap = None

    def pauseProducing(self) -> None:
        """This side is full; the other must wait."""
        self.full = True
        self.other.line.pauseProducing()

    def resumeProducing(self) -> None:
        """This side reads again."""
        self.full = False
        if self._hanging_up:
            self.hang_up()
        elif not self.other._held:
            self.other.line.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is being lost, which ``connectionLost`` will tell."""

    def hold(self) -> None:
        """Read no more from here for now, whatever the other side can take."""
        self._held = True
        self.line.pauseProducing()

    def release(self) -> None:
        """Read on."""
        self._held = False
        if not self.gone and not self.other.full:
            self.line.resumeProducing()

    # What we say of our own accord.

    def silent_seconds(self, now: float) -> float:
        """For how long nothing has come from here."""
        return self._silence.seconds(self.heard, now)

    def ping(self, now: float, every: float) -> None:
        """Ping this side if it has been silent for another ``every`` seconds."""
        due = int(self.silent_seconds(now) / every)
        if due == 0:
            self._pinged = 0
        elif due > self._pinged and self.other.scanner.at_boundary:
            self._pinged = due
            ours = self.scanner.awaited = b"apiproxy-%d" % self.heard
            self.write(control_frame(PING, ours, self._mask()))

    def close(self, code: int, reason: bytes, *, between: bool = False) -> None:
        """Say why, if that can be said here, and hang up.

        Args:
            code: of the Close.
            reason: likewise.
            between: whether what was sent to this side ends between frames, whatever has
                come for it.
        """
        if self.gone:
            return
        if not (between or self.other.scanner.at_boundary):
            self.cut()
            return
        if not self.other.scanner.closed:
            self.write(close_frame(code, reason, self._mask()))
        self.hang_up()

    def hang_up(self) -> None:
        """Send what is left and close; what still comes is thrown away."""
        self._deaf = True
        self._hanging_up = self.full
        if self.gone or self._hanging_up:  # else when what is buffered has gone out
            return
        self.line.unregisterProducer()
        self.line.resumeProducing()
        self.line.loseWriteConnection()

    def cut(self) -> None:
        """Close at once."""
        self._deaf = True
        if not self.gone:
            self.gone = True
            self.line.abortConnection()
