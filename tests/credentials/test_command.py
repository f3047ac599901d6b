"""A secret that a program gives: really run, and in made-up time."""

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from hypothesis import given, strategies as st
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.credentials.command import (
    MAX_OUTPUT,
    RUN_SECONDS,
    CommandSource,
    ICommandReactor,
    Unusable,
    read_answer,
)
from tests.kit.case import LoopbackCase


class Told:
    """Notes what becomes of a source.

    Attributes:
        lines: in order.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def fetched(self, source: CommandSource) -> None:
        """There is a new secret."""
        self.lines.append("fetched")

    def failed(self, source: CommandSource, reason: str) -> None:
        """There is none."""
        self.lines.append(reason)


class ReadingTests(SynchronousTestCase):
    """What a program prints."""

    def test_the_end_in_both_ways(self) -> None:
        """POSIX seconds, a time with a zone, or none."""
        for end, moment in (
            (1767225600, 1767225600.0),
            (1767225600.5, 1767225600.5),
            ("2026-01-01T00:00:00Z", 1767225600.0),
            ("2026-01-01t01:00:00.0+01:00", 1767225600.0),
            (None, None),
        ):
            answer = {"value": " sk-x\n", "expires_at": end, "more": 1}
            found = read_answer(json.dumps(answer).encode())
            self.assertEqual(found.secret.reveal(), b"sk-x")
            self.assertEqual(found.expires, moment)

    def test_what_is_no_answer(self) -> None:
        """It is said what was expected, and not what came."""
        for output in (
            b"",
            b"sk-bare-key",
            b"[]",
            b'{"value": 1}',
            b'{"value": "sk-x", "expires_at": "soon"}',
            b'{"value": "sk-x", "expires_at": "2026-01-01"}',
            b'{"value": "sk-x", "expires_at": "2026-99-99T00:00:00Z"}',
            b'{"value": ""}',
            b'{"value": "sk-x\\ny"}',
            b'{"value": "\\u4e2d"}',
            b"\xff",
        ):
            with self.assertRaises(Unusable) as caught:
                read_answer(output)
            self.assertNotIn("sk-", str(caught.exception))

    @given(st.binary(max_size=100))
    def test_nothing_else_is_raised(self, output: bytes) -> None:
        """Whatever it prints."""
        try:
            read_answer(output)
        except Unusable:
            return


class Programs(Clock):
    """A reactor whose programs end when a test says so.

    Attributes:
        runs: the protocols of all that were started.
        commands: what was started.
        missing: whether no program is there.
        killed: how many were ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []
        self.commands: list[list[str]] = []
        self.missing = False
        self.killed = 0

    def spawnProcess(self, protocol: Any, path: str, args: list[str], env: Any) -> Any:
        """Start nothing."""
        if self.missing:
            raise FileNotFoundError(2, "No such file or directory")
        self.runs.append(protocol)
        self.commands.append(args)
        return self

    def closeStdin(self) -> None:
        """There is none."""

    def signalProcess(self, name: str) -> None:
        """It was ended."""
        self.killed += 1
        raise ProcessExitedAlready

    def end(self, output: bytes = b"", code: int = 0) -> None:
        """The newest program prints this, and ends."""
        run = self.runs[-1]
        for at in range(0, len(output), 7):
            run.outReceived(output[at : at + 7])
        run.errReceived(b"sk-in-a-complaint")
        ended = ProcessTerminated(code) if code else ProcessDone(0)
        run.processEnded(Failure(ended))


class TimeTests(SynchronousTestCase):
    """When it is asked, and what is used meanwhile."""

    def setUp(self) -> None:
        self.reactor = Programs()
        self.told = Told()

    def source(self, **more: Any) -> CommandSource:
        """One that has begun to ask."""
        source = CommandSource("X_COMMAND", ["/bin/give", "it"])
        source.start(
            cast(ICommandReactor, self.reactor),
            self.told,
            now=self.reactor.seconds,
            chance=lambda: 0.0,
            **more,
        )
        return source

    def value(self, source: CommandSource) -> bytes | None:
        """The secret there is."""
        secret = source.current()
        return None if secret is None else secret.reveal()

    def give(self, value: str, expires: float | None = None) -> None:
        """The program prints this."""
        self.reactor.end(json.dumps({"value": value, "expires_at": expires}).encode())

    def test_the_old_one_is_used_until_the_new_one_is_there(self) -> None:
        """It is asked for after four fifths of the time, and the two overlap."""
        source = self.source()
        self.assertIsNone(source.current())
        self.assertEqual(repr(source), "<CommandSource X_COMMAND empty>")
        self.give("one", 100.0)
        self.assertEqual(self.value(source), b"one")
        self.reactor.advance(79)
        self.assertEqual(len(self.reactor.runs), 1)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.runs), 2)
        self.assertEqual(self.value(source), b"one")
        self.give("two", 200.0)
        self.assertEqual(self.value(source), b"two")
        self.assertEqual(repr(source), "<CommandSource X_COMMAND filled>")
        self.assertEqual(self.reactor.commands, [["/bin/give", "it"]] * 2)

    def test_one_that_has_ended_is_not_used(self) -> None:
        """Also if the program does not give another."""
        source = self.source()
        self.give("one", 100.0)
        self.reactor.advance(80)
        self.reactor.end(code=256)
        self.reactor.advance(19)
        self.assertEqual(self.value(source), b"one")
        self.reactor.advance(1)
        self.assertIsNone(source.current())

    def test_without_an_end_it_is_asked_every_hour(self) -> None:
        """Or four fifths of one; and chance makes it up to a tenth sooner."""
        source = self.source()
        source._chance = lambda: 1.0
        self.give("one")
        self.reactor.advance(3600 * 0.8 * 0.9 - 1)
        self.assertEqual(len(self.reactor.runs), 1)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.runs), 2)

    def test_an_end_that_is_near_does_not_make_it_run_all_the_time(self) -> None:
        """No sooner than after five seconds."""
        self.source()
        self.give("one", self.reactor.seconds() + 0.1)
        self.reactor.advance(4.9)
        self.assertEqual(len(self.reactor.runs), 1)
        self.reactor.advance(0.2)
        self.assertEqual(len(self.reactor.runs), 2)

    def test_a_program_that_fails_is_tried_again_and_again(self) -> None:
        """Less and less often; what is wrong is said, and nothing that it printed."""
        self.source()
        times = []
        for _ in range(9):
            self.reactor.end(b"sk-secret-nonsense")
            before = len(self.reactor.runs)
            started = self.reactor.seconds()
            while len(self.reactor.runs) == before:
                self.reactor.advance(1)
            times.append(self.reactor.seconds() - started)
        self.assertEqual(times, [1, 2, 4, 8, 16, 32, 60, 60, 60])
        self.assertNotIn("sk-", "".join(self.told.lines))

    def test_every_way_to_fail(self) -> None:
        """A code, too much output, too much time, no program; all are bounded."""
        self.source()
        self.reactor.end(code=256)
        self.reactor.advance(1)
        self.reactor.runs[-1].outReceived(b"x" * (MAX_OUTPUT + 1))
        self.reactor.advance(2)
        self.reactor.advance(RUN_SECONDS)
        self.assertEqual(self.reactor.killed, 2)
        self.reactor.missing = True
        self.reactor.advance(4)
        self.assertEqual(
            self.told.lines,
            [
                "it ended with 256",
                "it prints too much",
                "it is too slow",
                "it cannot be started: No such file or directory",
            ],
        )

    def test_what_comes_after_the_end_does_not_count(self) -> None:
        """A program that was given up may still say something."""
        source = self.source()
        self.reactor.advance(RUN_SECONDS)
        self.give("late")
        self.assertIsNone(source.current())
        self.assertEqual(self.told.lines, ["it is too slow"])

    def test_a_source_that_takes_the_place_of_another(self) -> None:
        """Has its secret until it has its own, if the program is the same."""
        source = self.source()
        self.give("one", 100.0)
        self.assertEqual(self.value(self.source(earlier=source)), b"one")
        other = CommandSource("X_COMMAND", ["/bin/other"])
        self.assertIsNone(self.value(self.source(earlier=other)))

    def test_stopping(self) -> None:
        """A program that runs is ended, and none is started; what is there stays."""
        source = self.source()
        source.stop()
        self.assertEqual(self.reactor.killed, 1)
        source = self.source()
        self.give("one")
        source.stop()
        self.reactor.advance(10_000)
        self.assertEqual(len(self.reactor.runs), 2)
        self.assertEqual(self.value(source), b"one")
        self.assertTrue(source.awaited)


class RunningTests(LoopbackCase):
    """Programs that do run."""

    def source(self, command: Sequence[str], told: Told) -> CommandSource:
        """One that asks a program of this system."""
        source = CommandSource("X_COMMAND", command)
        source.start(
            cast(ICommandReactor, self.reactor), told, now=float, chance=lambda: 0.0
        )
        self.addCleanup(source.stop)
        return source

    async def test_a_program_without_a_shell(self) -> None:
        """Its arguments are its own, whatever a shell would make of them."""
        told = Told()
        text = '{"value": "sk-$HOME;`id`"}'
        source = self.source(["/bin/echo", text], told)
        await self.until(lambda: told.lines)
        secret = source.current()
        assert secret is not None
        self.assertEqual(secret.reveal(), b"sk-$HOME;`id`")

    async def test_one_that_never_ends(self) -> None:
        """Is ended with us, and nothing has waited for it."""
        told = Told()
        source = self.source(["/bin/sleep", "1000"], told)
        run: Callable[[], object] = lambda: source._run  # noqa: E731
        self.assertIsNotNone(run())
        source.stop()
        self.assertEqual(told.lines, [])
        process = source._run._process if source._run else None
        await self.until(lambda: process is None or process.pid is None)
