"""Standard output that never makes the reactor wait."""

import contextlib
import fcntl
import os
import pty
import tempfile
from collections.abc import Callable
from threading import Thread

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.sink import StdoutSink

LINE = b'{"event":"x","n":%6d,"pad":"' + b"." * 70 + b'"}\n'


def drained(fd: int) -> bytes:
    """Everything that can be read now."""
    os.set_blocking(fd, False)
    pieces = []
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(fd, 65536):
            pieces.append(piece)
    return b"".join(pieces)


class SinkTestCase(SynchronousTestCase):
    """Sinks over real descriptors, on a clock that stands still."""

    def setUp(self) -> None:
        """A clock."""
        self.clock = Clock()

    def sink(self, fd: int, **options: float) -> StdoutSink:
        """A sink that is closed after the test."""
        sink = StdoutSink(fd, self.clock, now=lambda: 0.0, **options)  # type: ignore[arg-type]
        self.addCleanup(sink.close)
        return sink

    def pipe(self) -> tuple[int, int]:
        """A pipe: end to read, end to write."""
        reader, writer = os.pipe()
        for fd in (reader, writer):
            self.addCleanup(self._close, fd)
        return reader, writer

    @staticmethod
    def _close(fd: int) -> None:
        with contextlib.suppress(OSError):
            os.close(fd)

    def in_time(self, action: Callable[[], object]) -> None:
        """Fail if the action blocks."""
        thread = Thread(target=action, daemon=True)
        thread.start()
        thread.join(10)
        self.assertFalse(thread.is_alive(), "blocked")


class BatchTests(SinkTestCase):
    """When lines are written."""

    def test_timer(self) -> None:
        """Lines wait for the timer, and there is none while nothing waits."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        sink.write(b"a\n")
        sink.write(b"b\n")
        self.assertEqual(drained(reader), b"")
        self.assertEqual(repr(sink), "<StdoutSink open, 4 B wait, 0 dropped>")
        self.clock.advance(0.05)
        self.assertEqual(drained(reader), b"a\nb\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full_batch(self) -> None:
        """A full batch does not wait for the timer."""
        reader, writer = self.pipe()
        sink = self.sink(writer, batch=10)
        sink.write(b"1234567\n")
        self.assertEqual(drained(reader), b"")
        sink.write(b"8\n")
        self.assertEqual(drained(reader), b"1234567\n8\n")
        self.clock.advance(1)
        self.assertEqual(drained(reader), b"")

    def test_flush(self) -> None:
        """At shutdown everything goes out at once, and the timer goes."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        sink.write(b"last\n")
        self.assertTrue(sink.flush())
        self.assertEqual(drained(reader), b"last\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_flush_of_nothing(self) -> None:
        """Nothing to flush is flushed."""
        self.assertTrue(self.sink(self.pipe()[1]).flush())

    def test_regular_file(self) -> None:
        """A regular file gets the whole batch in one write, however long."""
        fd, path = tempfile.mkstemp()
        self.addCleanup(os.close, fd)
        self.addCleanup(os.unlink, path)
        writes: list[int] = []
        write = os.write

        def counted(where: int, data: bytes) -> int:
            if where == fd:
                writes.append(len(data))
            return write(where, data)

        self.patch(os, "write", counted)
        sink = self.sink(fd)
        sink.write(b"x" * 20000 + b"\n")
        sink.write(b"y\n")
        self.clock.advance(0.05)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"x" * 20000 + b"\ny\n")
        self.assertEqual(writes, [20003])

    def test_full_disk(self) -> None:
        """A device without space costs nothing but the lines that no longer fit."""
        fd = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, fd)
        sink = self.sink(fd, capacity=1000, batch=10)
        for number in range(100):
            sink.write(LINE % number)
            self.clock.advance(0.05)
        self.assertTrue(repr(sink).startswith("<StdoutSink broken, "))
        self.assertGreater(sink.dropped, 30)
        self.assertFalse(sink.flush())


class FullPipeTests(SinkTestCase):
    """A reader that does not read."""

    def overflow(self, writer: int) -> StdoutSink:
        """A sink that was given far more than it and its pipe can hold."""
        sink = self.sink(writer, capacity=200_000)

        def fill() -> None:
            for number in range(10_000):
                sink.write(LINE % number)
                if not number % 500:
                    self.clock.advance(0.05)

        self.in_time(fill)
        return sink

    def check_recovery(self, reader: int, sink: StdoutSink) -> None:
        """Read all; lines are whole, in order, and the gap says how many are missing."""
        data = b""
        while self.clock.getDelayedCalls():
            data += drained(reader)
            self.clock.advance(0.05)
        data += drained(reader)
        lines = [msgspec.json.decode(line) for line in data.splitlines()]
        [gap] = [i for i, line in enumerate(lines) if line["event"] != "x"]
        self.assertEqual(
            lines.pop(gap),
            {
                "timestamp": "1970-01-01T00:00:00.000Z",
                "level": "warning",
                "event": "log_lines_dropped",
                "count": sink.dropped,
            },
        )
        numbers = [line["n"] for line in lines]
        self.assertEqual(len(numbers) + sink.dropped, 10_000)
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(numbers[:gap], list(range(gap)))
        self.assertEqual(numbers[gap:], list(range(gap + sink.dropped, 10_000)))

    def test_full_pipe_never_blocks(self) -> None:
        """A pipe nobody reads loses the oldest lines; the shared flags stay untouched."""
        reader, writer = self.pipe()
        before = fcntl.fcntl(writer, fcntl.F_GETFL)
        sink = self.overflow(writer)
        self.assertTrue(repr(sink).startswith("<StdoutSink stalled, "))
        self.assertEqual(fcntl.fcntl(writer, fcntl.F_GETFL), before)
        self.assertFalse(before & os.O_NONBLOCK)
        self.check_recovery(reader, sink)

    def test_without_a_description_of_our_own(self) -> None:
        """Where the pipe cannot be opened again, asking first is enough."""

        def refused(path: str, flags: int) -> int:
            raise PermissionError(path)

        self.patch(os, "open", refused)
        reader, writer = self.pipe()
        self.check_recovery(reader, self.overflow(writer))

    def test_other_writer_on_the_pipe(self) -> None:
        """Somebody fills the pipe between our asking and our writing: we do not wait."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        write = os.write

        def beaten(fd: int, data: bytes) -> int:
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while write(writer, b"#" * 4096):
                    pass
            os.set_blocking(writer, True)
            return write(fd, data)

        sink.write(b"ours\n")
        self.patch(os, "write", beaten)
        self.in_time(lambda: self.clock.advance(0.05))
        self.patch(os, "write", write)
        self.assertEqual(repr(sink), "<StdoutSink stalled, 0 B wait, 0 dropped>")
        self.assertEqual(drained(reader).strip(b"#"), b"")
        self.clock.advance(0.05)
        self.assertEqual(drained(reader), b"ours\n")

    def test_stopped_terminal(self) -> None:
        """A terminal that shows nothing does not stop us."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, slave)
        self.addCleanup(os.close, master)
        sink = self.overflow(slave)
        self.assertGreater(sink.dropped, 0)
        self.in_time(lambda: sink.flush(0.05))

    def test_long_line(self) -> None:
        """A line longer than a pipe takes at once arrives whole."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        lines = [b"%d" % n * 150_000 + b"\n" for n in range(3)]
        for line in lines:
            self.in_time(lambda line=line: sink.write(line))  # type: ignore[misc]
        data = b""
        while self.clock.getDelayedCalls():
            data += drained(reader)
            self.clock.advance(0.05)
        self.assertEqual(data + drained(reader), b"".join(lines))

    def test_stalled_sink_asks_on_the_timer_only(self) -> None:
        """While nobody reads, a new line costs no system call."""
        reader, writer = self.pipe()
        sink = self.overflow(writer)
        drained(reader)
        sink.write(LINE % 0)
        self.assertEqual(drained(reader), b"")

    def test_flush_waits_for_the_reader(self) -> None:
        """At shutdown a reader that is slow gets everything."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        for number in range(2000):
            sink.write(LINE % number)
        got: list[bytes] = []

        def read() -> None:
            size = 2000 * len(LINE % 0)
            while sum(map(len, got)) < size:
                got.append(os.read(reader, 10_000))

        thread = Thread(target=read, daemon=True)
        thread.start()
        self.assertTrue(sink.flush(10))
        thread.join(10)
        self.assertEqual(
            b"".join(got), b"".join(LINE % number for number in range(2000))
        )

    def test_flush_gives_up(self) -> None:
        """At shutdown a reader that does not read is not waited for for ever."""
        sink = self.overflow(self.pipe()[1])
        self.in_time(lambda: self.assertFalse(sink.flush(0.05)))

    def test_reader_has_left(self) -> None:
        """A closed pipe breaks nothing."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        os.close(reader)
        sink.write(b"x\n")
        self.clock.advance(0.05)
        self.assertTrue(repr(sink).startswith("<StdoutSink broken, "))
        self.in_time(lambda: self.assertFalse(sink.flush(60)))

    def test_close(self) -> None:
        """Closing leaves the descriptor that was given open, and can be repeated."""
        reader, writer = self.pipe()
        sink = self.sink(writer)
        sink.write(b"x\n")
        sink.close()
        sink.close()
        os.write(writer, b"y\n")
        self.assertEqual(drained(reader), b"x\ny\n")
        os.close(writer)
        self.assertEqual(os.read(reader, 1), b"")
