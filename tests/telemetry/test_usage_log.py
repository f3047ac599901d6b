"""The usage log."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.telemetry.background import Background
from apiproxy.telemetry.journal import Journal
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.usage_log import FILE_NAME, UsageLog
from apiproxy.wire.reactor import Reactor
from tests.kit.case import LoopbackCase
from tests.telemetry.responses import record, response


class Thread:
    """Does what it is given when it is told to, as a thread does it that is busy."""

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.work.append((work, done))
        return done

    def go_on(self) -> None:
        """Do all that waits."""
        while self.work:
            work, done = self.work.pop(0)
            _ = execute(work).chainDeferred(done)


class UsageLogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A log, a clock that stands still, and a thread that waits to be told."""
        self.path = Path(self.mktemp()).absolute() / FILE_NAME
        self.clock = Clock()
        self.clock.advance(100)
        self.thread = Thread()
        self.said: list[bytes] = []
        self.usage = self.log()

    def log(self, capacity: int = 100_000) -> UsageLog:
        log = LineLog(self.said.append, level="info", now=lambda: 0.0)
        self.journal = Journal(self.path, most=1_000_000, keep=1)
        self.addCleanup(self.journal.close)
        return UsageLog(
            self.journal,
            self.thread.run,
            self.clock,
            log,
            version="1.2.3",
            now=self.clock.seconds,
            capacity=capacity,
        )

    def lines(self) -> list[Any]:
        return [
            msgspec.json.decode(line) for line in self.path.read_bytes().splitlines()
        ]

    def events(self) -> list[tuple[str, str]]:
        lines = map(msgspec.json.decode, self.said)
        return [(line["event"], line.get("kind", "")) for line in lines]

    def broken(self) -> None:
        """The file cannot be opened."""
        self.path.parent.parent.mkdir(exist_ok=True, parents=True)
        self.path.parent.write_bytes(b"a file where a directory should be")


class UsageLogTests(UsageLogTestCase):
    def test_a_response(self) -> None:
        """Its line is in the file within a second."""
        self.usage.metered(response())
        self.clock.advance(0.25)
        self.thread.go_on()
        [line] = self.lines()
        self.assertEqual(line["_schema"], "token-usage/v1.2.3")
        self.assertEqual(line["timestamp"], "1970-01-01T00:01:40.000Z")
        self.assertEqual(line["started"], "1970-01-12T13:46:40.500Z")
        self.assertEqual(self.usage.written, 1)
        self.assertIn("1 written", repr(self.usage))
        self.clock.advance(0.25)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_file_is_there_from_the_start(self) -> None:
        """Empty, so that whoever waits for it can tell no usage from no log."""
        self.usage.open()
        self.thread.go_on()
        self.assertEqual(self.lines(), [])

    def test_nobody_waits(self) -> None:
        """While the disk is busy lines go on waiting, and go in one batch afterwards."""
        self.usage.metered(response())
        self.clock.advance(0.25)
        for _ in range(5):
            self.usage.metered(response())
            self.clock.advance(0.25)
        self.assertEqual(len(self.thread.work), 1)
        self.thread.go_on()
        self.clock.advance(0.25)
        self.assertEqual(len(self.thread.work), 1)
        self.thread.go_on()
        self.assertEqual(len(self.lines()), 6)

    def test_secrets(self) -> None:
        """A key that a provider repeats is not in the file."""
        self.usage.redact([Secret(b"sk-planted-0001")])
        self.usage.metered(response(record(model="sk-planted-0001")))
        _ = self.usage.flush()
        self.thread.go_on()
        self.assertEqual(self.lines()[0]["model"], "‹secret›")

    def test_half_a_secret(self) -> None:
        """Nor is what would be left of one that a cut goes through."""
        self.usage.redact([Secret(b"sk-planted-0001")])
        cut = "m" * 246 + "sk-planted-0001"
        self.usage.metered(response(record(model=cut, id=cut, stop=cut), asked=cut))
        _ = self.usage.flush()
        self.thread.go_on()
        self.assertNotIn(b"sk-p", self.path.read_bytes())

    def test_a_line_that_cannot_be_made(self) -> None:
        """It is counted, and nothing else happens."""
        self.usage.metered(response(seconds=float("nan")))
        self.assertEqual(self.usage.lost, 1)

    def test_a_part_that_cannot_be_written(self) -> None:
        """What a provider tells of its billing may be no JSON: it is left out."""
        self.usage.metered(response(billing={"x": "\ud800"}))
        self.usage.metered(response(billing={"plan": "pro"}))
        _ = self.usage.flush()
        self.thread.go_on()
        billing = [line.get("billing") for line in self.lines()]
        self.assertEqual((billing, self.usage.lost), ([None, {"plan": "pro"}], 0))

    def test_flush(self) -> None:
        """It tells when the lines are on the disk."""
        self.assertIsNone(self.successResultOf(self.usage.flush()))
        self.usage.metered(response())
        first = self.usage.flush()
        self.usage.metered(response())
        second = self.usage.flush()
        self.assertNoResult(first)
        work, done = self.thread.work.pop()
        done.callback(work())
        self.successResultOf(first)
        self.assertNoResult(second)
        self.thread.go_on()
        self.successResultOf(second)
        self.assertEqual(len(self.lines()), 2)
        self.clock.advance(1)

    def test_flush_while_lines_keep_coming(self) -> None:
        """Those that come later are not waited for."""
        self.usage.metered(response())
        flushed = self.usage.flush()
        self.usage.metered(response())
        work, done = self.thread.work.pop()
        done.callback(work())
        self.successResultOf(flushed)
        self.clock.advance(1)

    def test_reopen(self) -> None:
        """After SIGHUP the file of that name is written, whatever it was before."""
        self.usage.metered(response())
        _ = self.usage.flush()
        self.thread.go_on()
        self.path.rename(f"{self.path}.old")
        self.usage.reopen()
        self.usage.open()
        self.thread.go_on()
        self.assertEqual(self.lines(), [])

    def test_close(self) -> None:
        """All lines are written; what comes later is counted as lost."""
        self.usage.metered(response())
        closed = self.usage.close()
        self.thread.go_on()
        self.successResultOf(closed)
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("closed", repr(self.journal))
        self.usage.metered(response())
        self.assertEqual((self.usage.dropped, len(self.thread.work)), (1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TroubleTests(UsageLogTestCase):
    """A disk that is full, slow or gone: traffic does not notice."""

    def test_it_comes_back(self) -> None:
        """Lines wait for the disk, which is tried every few seconds and complained of once."""
        self.broken()
        self.usage.metered(response())
        for _ in range(50):
            self.clock.advance(0.25)
            self.thread.go_on()
        self.assertEqual(self.events(), [("token_log_error", "EEXIST")])
        self.path.parent.unlink()
        for _ in range(20):
            self.clock.advance(0.25)
            self.thread.go_on()
        self.assertEqual((len(self.lines()), self.usage.dropped), (1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_is_complained_of_again(self) -> None:
        """When it fails after it was well."""
        for _ in range(2):
            self.broken()
            self.usage.open()
            self.thread.go_on()
            self.path.parent.unlink()
            self.usage.metered(response())
            _ = self.usage.flush()
            self.thread.go_on()
            self.usage.reopen()
            self.thread.go_on()
            self.path.unlink()
            self.path.parent.rmdir()
        self.assertEqual(self.events(), [("token_log_error", "EEXIST")] * 2)
        self.clock.advance(1)

    def test_lines_without_end(self) -> None:
        """They do not fill the memory: the oldest go, which is counted, and logged once."""
        self.usage = self.log(capacity=5000)
        for number in range(50):
            self.usage.metered(response(request_id=f"r{number}"))
        self.assertGreater(self.usage.dropped, 40)
        self.assertEqual(self.events(), [("token_log_backpressure", "")])
        _ = self.usage.flush()
        self.thread.go_on()
        self.assertEqual(self.usage.written + self.usage.dropped, 50)
        self.assertEqual(self.lines()[-1]["request_id"], "r49")
        self.clock.advance(1)

    def test_half_a_success(self) -> None:
        """Lines are written, but the file cannot be turned over: said once."""
        self.journal._most, self.journal._keep = 10, 1
        self.path.parent.mkdir()
        Path(f"{self.path}.1").mkdir()
        for _ in range(3):
            self.usage.metered(response())
            _ = self.usage.flush()
            self.thread.go_on()
        self.assertEqual(self.events(), [("token_log_error", "EISDIR")])
        self.assertEqual(len(self.lines()), 3)
        self.clock.advance(1)

    def test_a_bug(self) -> None:
        """Something else than the system fails: the same."""
        self.patch(Journal, "append", lambda self, lines: 1 // 0)
        self.usage.metered(response())
        self.successResultOf(self.after_all(self.usage.flush()))
        self.assertEqual(self.events(), [("token_log_error", "ZeroDivisionError")])
        self.successResultOf(self.after_all(self.usage.close()))

    def after_all(self, done: Deferred[None]) -> Deferred[None]:
        self.thread.go_on()
        return done

    def test_a_disk_that_is_full_at_the_end(self) -> None:
        """It is tried once more, and what it does not take is counted."""
        self.broken()
        self.usage.metered(response())
        self.successResultOf(self.after_all(self.usage.close()))
        self.assertEqual(self.usage.dropped, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_disk_that_hangs_at_the_end(self) -> None:
        """It is waited for three seconds, not more."""
        self.usage.metered(response())
        closed = self.usage.close()
        self.clock.advance(2.9)
        self.assertNoResult(closed)
        self.clock.advance(0.2)
        self.successResultOf(closed)
        self.thread.go_on()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_more_than_one_batch_at_the_end(self) -> None:
        """All of it is written before the end is told."""
        self.usage = self.log(capacity=10_000_000)
        for _ in range(1000):
            self.usage.metered(response())
        closed = self.usage.close()
        self.thread.go_on()
        self.successResultOf(closed)
        self.assertEqual((len(self.lines()), self.usage.dropped), (1000, 0))


class RealTests(LoopbackCase):
    async def test_a_real_thread(self) -> None:
        """With the reactor, its thread and a file."""
        path = Path(self.mktemp()).absolute() / FILE_NAME
        background = Background(cast(Reactor, self.reactor), "usage log")
        self.addCleanup(background.end)
        usage = UsageLog(
            Journal(path, most=10_000, keep=100),
            background.run,
            self.reactor,
            LineLog(lambda line: None, level="info", now=float),
            version="1",
            now=float,
        )
        usage.open()
        for number in range(300):
            usage.metered(response(request_id=str(number)))
            if number % 50 == 0:
                await usage.flush()
        await usage.close()
        files = sorted(
            path.parent.glob(f"{FILE_NAME}.*"), key=lambda one: -int(one.suffix[1:])
        )
        lines = b"".join(one.read_bytes() for one in (*files, path)).splitlines()
        ids = [msgspec.json.decode(line)["request_id"] for line in lines]
        self.assertEqual(ids, [str(number) for number in range(300)])
        self.assertGreater(len(os.listdir(path.parent)), 2)
