"""What ``twistd apiproxy`` and ``twist apiproxy`` call; the only module with the reactor."""

import os
import sys

from apiproxy.lean import leave_out

leave_out(sys.modules, os.environ)  # before Twisted is imported: see there

import ctypes
import gc
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.application.service import IService
from twisted.logger import ILogObserver
from twisted.python import usage

from apiproxy.config import (
    ConfigurationError,
    Settings,
    check_authorities,
    read_settings,
)
from apiproxy.service import PortTaken, Proxy
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.sink import StdoutSink
from apiproxy.telemetry.twisted_events import TwistedEvents
from apiproxy.wire.dispatch import dispatch_directly
from apiproxy.wire.tls import is_usable

EXIT_CONFIGURATION = 1
EXIT_PORT_TAKEN = 2

_SPARE_FILES = 256
"""Open files beside connections: listeners, warm lines, the log, what libraries need."""

_PR_SET_DUMPABLE = 4

_ALLOCATIONS = 20_000
"""So many more objects made than freed, before garbage is looked for."""


class Options(usage.Options):
    """The command line; everything else is set by environment or configuration file."""

    optParameters = (
        ["config", "c", None, "TOML configuration file (also APIPROXY_CONFIG)."],
    )

    def postOptions(self) -> None:
        """Read the settings, and make every log line one of ours."""
        from twisted.internet import reactor

        environ = dict(os.environ)
        self._environ = environ
        self["settings"] = settings = _read_or_exit(self["config"], environ)
        open_all_files(settings)
        for name in settings.secret_names:
            os.environ.pop(name, None)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        parent: Any = self.parent  # twistd's or twist's own options
        sink = StdoutSink(_log_descriptor(parent), reactor, now=time.time)
        log = LineLog(sink.write, level=settings.log_level, now=time.time)
        log.redact(settings.secrets)
        forbid_dumping()  # after the sink, which may need /proc/self/fd
        self["sink"], self["log"] = sink, log
        self["events"] = events = TwistedEvents(log)
        parent["fileLogObserverFactory"] = lambda file: events  # for twist

    def reread(self) -> Settings:
        """The settings as files and the environment of our start have them now.

        Raises:
            ConfigurationError: they make no sense any more.
        """
        settings = read_usable(self["config"], self._environ)
        open_all_files(settings)
        return settings


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


def forbid_dumping() -> None:
    """Keep other processes of this user out of our memory and /proc/PID/environ.

    The variables that held keys still stand there, whatever becomes of ``os.environ``. Root
    can read them all the same. From here on our own /proc/self/fd may be closed to us, too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def collect_seldom() -> None:
    """Have the garbage collector leave alone what was made at start, and look less often.

    An exchange leaves no cycles behind when it ends, so there is next to nothing to find; to
    look for it after every 700 objects, in all that was imported, is a tenth of a request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)


def _log_descriptor(parent: Any) -> int:
    """Standard output, or the log file where twistd has been told to use one."""
    path = parent.get("logfile")
    if path in (None, "-", "") and (parent.get("nodaemon") or "nodaemon" not in parent):
        return 1
    path = "twistd.log" if path in (None, "-", "") else path
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def read_usable(path: str | None, environ: dict[str, str]) -> Settings:
    """Settings whose files of authorities OpenSSL can use, too.

    Raises:
        ConfigurationError: with every problem there is.
    """
    settings = read_settings(path, environ)
    check_authorities(settings, is_usable)
    return settings


def _read_or_exit(path: str | None, environ: dict[str, str]) -> Settings:
    try:
        return read_usable(path, environ)
    except ConfigurationError as error:
        for problem in error.problems:
            _say(problem)
        raise SystemExit(EXIT_CONFIGURATION) from None


def _say(sentence: str) -> None:
    """Tell whoever watches standard error, which twistd sends into the log."""
    with suppress(OSError):
        os.write(2, f"apiproxy: {sentence}\n".encode(errors="replace"))


class _Process(Proxy):
    """The proxy as a process: signals, exit codes, the last log line."""

    def __init__(self, options: Options, reactor: Any) -> None:
        self._options = options
        self._stopping = False
        self._exit_code = 0
        super().__init__(
            options["settings"],
            reactor,
            options["log"],
            notify=notifier(os.environ.get("NOTIFY_SOCKET")),
            dropped=lambda: options["sink"].dropped,
        )

    def setServiceParent(self, parent: Any) -> None:
        """Twistd takes its log observer from the application we become part of."""
        parent.setComponent(ILogObserver, self._options["events"])
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except PortTaken as error:
            self._log.log("error", "startup", message=str(error))
            self._options["sink"].flush()
            _say(str(error))
            raise SystemExit(EXIT_PORT_TAKEN) from None
        self._reactor.callWhenRunning(self._catch_signals)

    def _catch_signals(self) -> None:
        """Ours, because a clean stop exits with 0 and a second signal means at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, lambda *_: self._reactor.callFromThread(self._terminate)
            )
        signal.signal(
            signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._reread)
        )

    def _terminate(self) -> None:
        if self._stopping:
            self.hurry()
        else:
            self._stopping = True
            self._reactor.stop()

    def _reread(self) -> None:
        try:
            self.reload(self._options.reread())
        except ConfigurationError as error:
            for problem in error.problems:
                self._log.log("error", "reload", message=problem)

    def give_up(self) -> None:
        """Stop in order, then exit with the code of a configuration error."""
        self._exit_code = EXIT_CONFIGURATION
        self._terminate()

    async def _stop(self) -> None:
        await super()._stop()
        self._options["sink"].flush()
        if self._exit_code:
            os._exit(self._exit_code)  # twistd has no way to be told one


def notifier(address: str | None) -> Callable[[str], None]:
    """A function that tells the service manager of our state (systemd's sd_notify).

    Args:
        address: value of ``NOTIFY_SOCKET``; None to tell nobody.
    """
    if not address:
        return lambda state: None
    path = "\0" + address[1:] if address.startswith("@") else address

    def notify(state: str) -> None:
        stamp = ""
        if state == "RELOADING=1":  # systemd wants to know when, in microseconds
            stamp = f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            try:
                datagram.sendto((state + stamp).encode("ascii"), path)
            except OSError as error:
                _say(f"cannot notify {address}: {error}")

    return notify


def makeService(options: Options) -> IService:
    """The service, ready to start."""
    from twisted.internet import reactor

    if options["settings"].lean_dispatch:
        dispatch_directly(reactor)
    process = _Process(options, reactor)
    collect_seldom()
    return process
