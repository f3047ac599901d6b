"""What ``twistd apiproxy`` and ``twist apiproxy`` call; the only module with the reactor."""

import os
import sys

from apiproxy.lean import leave_out

leave_out(sys.modules, os.environ)  # before Twisted is imported: see there

import ctypes
import gc
import resource
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from twisted.application.service import IService
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python import usage

from apiproxy.config import (
    ConfigurationError,
    Origin,
    Settings,
    check_authorities,
    collect,
    remake,
)
from apiproxy.outside import Outside
from apiproxy.process import EXIT_CONFIGURATION, Process, Served, notifier, say
from apiproxy.settings.changes import Changes
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.sink import StdoutSink
from apiproxy.telemetry.twisted_events import TwistedEvents
from apiproxy.wire import atonce
from apiproxy.wire.dispatch import dispatch_directly
from apiproxy.wire.trust import is_usable

if TYPE_CHECKING:
    from apiproxy.workers.worker import Inherited

_SPARE_FILES = 256
"""Open files beside connections: listeners, warm lines, the log, what libraries need."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4

_ALLOCATIONS = 5_000
"""So many more objects made than freed, before garbage is looked for. A request, a stream, a
WebSocket and a connection to upstream leave none in cycles (``tests/test_garbage.py``)."""


class Options(usage.Options):
    """The command line; everything else is set by environment or configuration file."""

    optParameters = (
        ["config", "c", None, "TOML configuration file (also APIPROXY_CONFIG)."],
        ["worker", None, None, "For apiproxy itself: be this worker of it.", int],
    )

    def postOptions(self) -> None:
        """Read the settings, and make every log line one of ours."""
        from twisted.internet import reactor

        self._environ = dict(os.environ)
        self["unusable"] = EXIT_CONFIGURATION
        self._origin: Origin | None = None
        self._changes = Changes()
        parent: Any = self.parent  # twistd's or twist's own options
        if self["worker"] is None:
            self["settings"] = _or_exit(self.reread, EXIT_CONFIGURATION)
        self["log_fd"] = _log_descriptor(parent)
        self["sink"] = sink = StdoutSink(self["log_fd"], reactor, now=time.time)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        forbid_dumping()  # after the sink, which may need /proc/self/fd
        if self["worker"] is not None:
            from apiproxy.workers.place import EXIT_UNUSABLE

            end_with_parent()
            self["inherited"], origin = inherit(self["worker"])
            self["settings"] = _or_exit(lambda: self.remade(origin), EXIT_UNUSABLE)
            self["unusable"] = EXIT_UNUSABLE
        settings = self["settings"]
        self["log"] = log = LineLog(sink.write, level=settings.log_level, now=time.time)
        log.redact(settings.secrets)
        self["events"] = events = TwistedEvents(log)
        parent["fileLogObserverFactory"] = lambda file: events  # for twist

    def reread_changed(self) -> Settings | None:
        """The settings with what files hold that have changed; None if none has.

        The configuration file is not one of them: whoever edits it says when he is done.

        Raises:
            ConfigurationError: they make no sense any more.
        """
        if self._origin is None:
            return None
        found = self._changes.found(self._origin)
        if not found:
            return None
        origin = self._origin.renewed(found)
        return self._usable(remake(origin), origin)

    def reread(self) -> Settings:
        """The settings as files and the environment of our start have them now.

        Variables that hold a secret leave the environment, so that nothing that we start has
        them, and nobody finds them in /proc; workers ask for them.

        Raises:
            ConfigurationError: they make no sense any more.
        """
        return self._usable(*collect(self["config"], self._environ, self._origin))

    def _usable(self, settings: Settings, origin: Origin) -> Settings:
        """Settings that are about to be put in force, once it is seen that they can be."""
        check_usable(settings)
        self._origin = origin
        for name in settings.secret_names:
            forget(name)
        open_all_files(settings)
        return settings

    def remade(self, origin: Origin) -> Settings:
        """The settings that the front has put in force.

        Raises:
            ConfigurationError: they make no sense any more.
        """
        settings = remake(origin)
        check_usable(settings)
        open_all_files(settings)
        return settings

    # What can be made of it; imported when needed, because a front needs little memory.

    def proxy(self, process: Process) -> Served:
        """One process that does it all."""
        from apiproxy.service import Proxy
        from twisted.internet import reactor

        return Proxy(
            self["settings"],
            cast(Any, reactor),
            self["log"],
            outside=self._around(process),
        )

    def front(self, process: Process) -> Served:
        """The first of several."""
        from apiproxy.workers.front import Front
        from twisted.internet import reactor

        return Front(
            self["settings"],
            cast(Any, reactor),
            self["log"],
            self.launch,
            lambda: cast(Origin, self._origin),
            outside=self._around(process),
        )

    def worker(self, process: Process) -> Served:
        """One that the first has started."""
        from apiproxy.workers.worker import Worker
        from twisted.internet import reactor

        return Worker(
            self["settings"],
            cast(Any, reactor),
            self["log"],
            self["inherited"],
            self.remade,
            process.end,
            dropped=self._dropped,
        )

    def _around(self, process: Process) -> Outside:
        return Outside(
            notify=notifier(os.environ.get("NOTIFY_SOCKET")),
            dropped=self._dropped,
            give_up=process.give_up,
            end=process.end,
            reread=process.reload,
        )

    def _dropped(self) -> int:
        dropped: int = self["sink"].dropped
        return dropped

    def launch(
        self, number: int, life: ProcessProtocol, descriptors: Mapping[int, int]
    ) -> IProcessTransport:
        """Start a worker, with no secret in its environment; see ``workers.place``."""
        from twisted.internet import reactor

        spawn = cast(IReactorProcess, reactor).spawnProcess
        command = worker_command(number)
        with open(os.devnull, "rb") as nothing:
            return spawn(
                life,
                command[0],
                command,
                env=dict(os.environ),
                path=None,
                childFDs={0: nothing.fileno(), 1: self["log_fd"], 2: 2, **descriptors},
            )


def inherit(number: int) -> tuple["Inherited", Origin]:
    """What a worker has from the front, and what it is told to serve by."""
    from apiproxy.workers.beginning import ask
    from apiproxy.workers.worker import Inherited

    try:
        inherited = Inherited.take(number)
        serve = ask(inherited.channel)
    except OSError:
        say("--worker is for apiproxy itself; see APIPROXY_WORKERS")
        raise SystemExit(EXIT_CONFIGURATION) from None
    if serve is None:  # the service ends before this worker has begun
        raise SystemExit(0)
    inherited.ledger = serve.ledger
    return inherited, serve.origin


def worker_command(number: int) -> list[str]:
    """The command line of a worker; there is nothing secret in it."""
    here = not {"", os.getcwd()}.isdisjoint(sys.path)
    isolated = ["-I"] if sys.flags.isolated else [] if here else ["-P"]
    run = "from twisted.scripts.twistd import run; run()"
    command = [sys.executable, *isolated, "-c", run, "-n", "--pidfile=", "apiproxy"]
    return [*command, "--worker", str(number)]


def open_all_files(settings: Settings) -> None:
    """Raise the soft limit on open files to the hard one.

    Args:
        settings: grow by a warning if that is less than their limits may need.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS may have a lower one in force, which it does not tell.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    needed = settings.limits.connections * 2 + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        settings.warnings.append(
            f"only {soft} files can be open, APIPROXY_MAX_CONNECTIONS may need {needed};"
            " raise the hard limit (ulimit -Hn, LimitNOFILE=)"
        )


def forget(name: str) -> None:
    """Take a variable out of the environment, and its value out of /proc/PID/environ.

    What the kernel shows there is memory of ours, which is left as it was by ``unsetenv``.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype, libc.strlen.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    value = libc.getenv(os.fsencode(name))
    if value is not None:
        ctypes.memset(value, 0, libc.strlen(value))
    os.environ.pop(name, None)


def forbid_dumping() -> None:
    """Keep other processes of this user out of our memory and /proc/PID/environ.

    Root can read both all the same. From here on our own /proc/self/fd may be closed to us,
    too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end_with_parent() -> None:
    """Have the kernel send us SIGTERM when the process that started us ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def collect_seldom() -> None:
    """Have the garbage collector leave alone what was made at start, and look less often.

    A request leaves no cycles behind, so there is next to nothing to find; to look for it
    after every 700 objects, in all that was imported, is a tenth of what a request costs.
    """
    gc.collect()
    gc.freeze()
    # What has grown old is looked at when it has become a quarter more than it was at the
    # last full collection. That must not have counted what is frozen, or it comes too late.
    gc.collect()
    gc.set_threshold(_ALLOCATIONS, 3, 3)


def _log_descriptor(parent: Any) -> int:
    """Standard output, or the log file where twistd has been told to use one."""
    path = parent.get("logfile")
    if path in (None, "-", "") and (parent.get("nodaemon") or "nodaemon" not in parent):
        return 1
    path = "twistd.log" if path in (None, "-", "") else path
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def check_usable(settings: Settings) -> None:
    """See that settings can be put in force here: OpenSSL can use the files, too.

    Raises:
        ConfigurationError: with every problem there is.
    """
    if settings.workers > 1 and sys.platform != "linux":
        raise ConfigurationError(["APIPROXY_WORKERS must be 1 on this system"])
    check_authorities(settings, is_usable)


def _or_exit(read: Callable[[], Settings], code: int) -> Settings:
    try:
        return read()
    except ConfigurationError as error:
        for problem in error.problems:
            say(problem)
        raise SystemExit(code) from None


def makeService(options: Options) -> IService:
    """The service, ready to start: by itself, the front of several, or one of several."""
    from twisted.internet import reactor

    atonce.AT_ONCE = options["settings"].lean_io
    if atonce.AT_ONCE:
        dispatch_directly(reactor)
    if options["worker"] is not None:
        make = options.worker
    elif options["settings"].workers > 1:
        make = options.front
    else:
        make = options.proxy
    process = Process(
        make,
        reactor=reactor,
        log=options["log"],
        sink=options["sink"],
        observer=options["events"],
        reread=options.reread,
        reread_changed=options.reread_changed,
        watch=options["settings"].watch,
        worker=options["worker"] is not None,
        exit_unusable=options["unusable"],
    )
    collect_seldom()
    return process
