"""A service as a process: signals, exit codes, the service manager."""

import os
import signal
from collections.abc import Callable
from typing import Any, cast

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver
from twisted.trial.unittest import SynchronousTestCase

from apiproxy import process
from apiproxy.config import ConfigurationError, Settings
from apiproxy.listening import PortTaken
from apiproxy.process import Process, Served, notifier
from apiproxy.telemetry.lines import LineLog
from tests.test_tap import Notified


class NotifierTests(SynchronousTestCase):
    """sd_notify."""

    def test_without_a_service_manager(self) -> None:
        """Nobody is told."""
        notifier(None)("READY=1")
        notifier("")("READY=1")

    def test_an_abstract_socket(self) -> None:
        """Its name begins with ``@``."""
        name = f"apiproxy-test-{os.getpid()}"
        notified = Notified("\0" + name)
        self.addCleanup(notified.socket.close)
        notifier("@" + name)("STOPPING=1")
        self.assertEqual(notified.next(), "STOPPING=1")

    def test_a_service_manager_that_does_not_listen(self) -> None:
        """It is said once per attempt, and nothing breaks."""
        said: list[str] = []
        self.patch(process, "say", said.append)
        notifier("/nowhere/at/all")("READY=1")
        self.assertEqual(len(said), 1)
        self.assertIn("cannot notify /nowhere/at/all", said[0])


class Remembers:
    """A reactor, a service and a sink that only remember.

    Attributes:
        calls: what was asked of them.
        clock: that the reactor goes by.
        taken: what keeps it from listening.
        unusable: what keeps it from serving.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.taken: PortTaken | None = None
        self.unusable: list[str] = []
        self.stopped: Deferred[None] = Deferred()

    def callWhenRunning(self, what: Callable[[], None]) -> None:
        self.calls.append("when running")

    def callFromThread(self, what: Callable[[], None]) -> None:
        what()

    def stop(self) -> None:
        self.calls.append("stop")

    def flush(self) -> None:
        self.calls.append("flush")

    def privilegedStartService(self) -> None:
        self.calls.append("listen")
        if self.taken is not None:
            raise self.taken

    def startService(self) -> None:
        self.calls.append("serve")
        if self.unusable:
            raise ConfigurationError(self.unusable)

    def stopService(self) -> Deferred[None]:
        self.calls.append("drain")
        return self.stopped

    def hurry(self) -> None:
        self.calls.append("hurry")

    def reload(self, settings: Settings) -> None:
        self.calls.append("reload")


class ProcessTests(SynchronousTestCase):
    """What twistd, and whoever sends signals, makes of it."""

    def setUp(self) -> None:
        self.lines: list[bytes] = []
        self.problems: list[str] = []
        self.exits: list[int] = []
        self.said: list[str] = []
        self.patch(os, "_exit", self.exits.append)
        self.patch(process, "say", self.said.append)

    def process(self, *, worker: bool = False, watch: float = 0.0) -> Process:
        """One around something that remembers."""
        self.changed: list[Settings | None] = []
        self.all = self.served = Remembers()
        return Process(
            lambda process: cast(Served, self.served),
            reactor=self.all,
            log=LineLog(self.lines.append, level="info", now=float),
            sink=cast(Any, self.all),
            observer=cast(ILogObserver, self),
            reread=self.reread,
            reread_changed=self.reread_changed,
            watch=watch,
            worker=worker,
        )

    def reread_changed(self) -> Settings | None:
        if self.problems:
            raise ConfigurationError(self.problems)
        return self.changed.pop() if self.changed else None

    def reread(self) -> Settings:
        if self.problems:
            raise ConfigurationError(self.problems)
        return Settings()

    def caught(self, made: Process) -> dict[int, Any]:
        """What it does with signals."""
        caught: dict[int, Any] = {}
        self.patch(signal, "signal", caught.__setitem__)
        made._catch_signals()
        return caught

    def test_twistd_logs_by_our_observer(self) -> None:
        """It asks the application for one."""
        application: Any = MultiService()
        components: dict[Any, Any] = {}
        application.setComponent = components.__setitem__
        self.process().setServiceParent(application)
        self.assertIs(components[ILogObserver], self)

    def test_a_life(self) -> None:
        """It listens, serves, and stops; the last line is written before the end."""
        made = self.process()
        made.privilegedStartService()
        made.startService()
        stopping = made.stopService()
        self.assertNoResult(stopping)
        self.served.stopped.callback(None)
        self.successResultOf(stopping)
        story = ["listen", "when running", "serve", "drain", "flush"]
        self.assertEqual((self.all.calls, self.exits), (story, []))

    def test_a_start_in_one_step(self) -> None:
        """Twist has no other: it listens, and heeds signals, all the same."""
        self.process().startService()
        self.assertEqual(self.all.calls, ["listen", "when running", "serve"])

    def test_a_port_that_is_taken(self) -> None:
        """Exit code 2, a line, and a sentence for whoever looks."""
        made = self.process()
        self.served.taken = PortTaken("openai: taken")
        stop = self.assertRaises(SystemExit, made.privilegedStartService)
        self.assertEqual((stop.code, self.said), (2, ["openai: taken"]))
        self.assertIn(b"openai: taken", self.lines[0])
        self.assertEqual(self.all.calls, ["listen", "flush"])

    def test_settings_that_cannot_be_served_by(self) -> None:
        """Exit code 1, a line and a sentence for each problem."""
        made = self.process()
        self.served.unusable = ["the ledger cannot be opened: broken"]
        stop = self.assertRaises(SystemExit, made.startService)
        self.assertEqual((stop.code, self.said), (1, self.served.unusable))
        self.assertIn(b"the ledger cannot be opened: broken", self.lines[0])

    def test_a_reload_that_is_asked_for(self) -> None:
        """Whoever asks is told what is wrong."""
        made = self.process()
        self.assertEqual(made.reload(), [])
        self.problems = ["nonsense"]
        self.assertEqual(made.reload(), ["nonsense"])
        self.assertEqual(self.all.calls, ["reload"])

    def test_signals(self) -> None:
        """The first stops, the second hurries."""
        made = self.process()
        caught = self.caught(made)
        caught[signal.SIGHUP](signal.SIGHUP, None)
        caught[signal.SIGTERM](signal.SIGTERM, None)
        caught[signal.SIGINT](signal.SIGINT, None)
        self.assertEqual(self.all.calls, ["reload", "stop", "hurry"])

    def test_signals_of_a_worker(self) -> None:
        """Ctrl-C is the front's business; SIGTERM stops in order, however often it comes."""
        made = self.process(worker=True)
        caught = self.caught(made)
        caught[signal.SIGTERM](signal.SIGTERM, None)
        caught[signal.SIGTERM](signal.SIGTERM, None)
        made.end()
        self.assertEqual(self.all.calls, ["stop"])
        self.assertEqual(caught[signal.SIGINT], signal.SIG_IGN)
        self.assertEqual(caught[signal.SIGHUP], signal.SIG_IGN)

    def test_a_reload_that_makes_no_sense(self) -> None:
        """Each problem is a line; nothing else happens."""
        made = self.process()
        self.problems = ["one", "two"]
        self.caught(made)[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(len(self.lines), 2)
        self.assertEqual(self.all.calls, [])

    def test_a_file_with_a_key_changes(self) -> None:
        """It is looked at every few seconds, and put in force without a signal."""
        made = self.process(watch=5.0)
        made.startService()
        clock = self.served.clock
        clock.pump([5.0, 5.0])
        self.assertNotIn("reload", self.all.calls)
        self.changed = [Settings(watch=7.0)]
        clock.advance(5.0)
        self.assertEqual(self.all.calls[-1], "reload")
        self.assertIn(b"a file that settings were read from has changed", self.lines[0])
        self.assertEqual([call.getTime() for call in clock.calls], [22.0])
        self.changed = [Settings(watch=0.0)]
        clock.advance(7.0)
        self.assertEqual((self.all.calls.count("reload"), clock.calls), (2, []))
        self.assertEqual(made.reload(), [])
        self.assertEqual([call.getTime() for call in clock.calls], [27.0])
        _ = made.stopService()
        self.assertEqual(clock.calls, [])

    def test_a_key_that_makes_no_sense(self) -> None:
        """It is said, and looking goes on."""
        made = self.process(watch=5.0)
        made.startService()
        self.problems = ["OPENAI_API_KEY_FILE is empty"]
        self.served.clock.advance(5.0)
        self.assertIn(b"OPENAI_API_KEY_FILE is empty", self.lines[0])
        self.assertEqual(len(self.served.clock.calls), 1)
        self.assertNotIn("reload", self.all.calls)

    def test_a_bug_in_a_reload(self) -> None:
        """It is logged, and looking goes on."""
        made = self.process(watch=5.0)
        made.startService()
        bug = RuntimeError()
        self.patch(self.served, "reload", lambda settings: self.fail_with(bug))
        self.changed = [Settings()]
        self.assertRaises(RuntimeError, self.served.clock.advance, 5.0)
        self.assertEqual(len(self.served.clock.calls), 1)

    def fail_with(self, bug: Exception) -> None:
        raise bug

    def test_workers_do_not_look(self) -> None:
        """The front does, and tells them."""
        made = self.process(worker=True, watch=5.0)
        made.startService()
        self.assertEqual(self.served.clock.calls, [])

    def test_giving_up(self) -> None:
        """An orderly stop, then exit code 1."""
        made = self.process()
        made.give_up()
        stopping = made.stopService()
        self.served.stopped.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(
            (self.all.calls, self.exits), (["stop", "drain", "flush"], [1])
        )
