"""A service as a process: signals, exit codes, the service manager, the last log line."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import ILogObserver

from apiproxy.config import ConfigurationError, Settings
from apiproxy.listening import PortTaken
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.sink import StdoutSink

EXIT_CONFIGURATION = 1
EXIT_PORT_TAKEN = 2

_CHANGED = "a file that settings were read from has changed"


class Served(Protocol):
    """What a process does: a ``Proxy``, or a part of several processes that serve as one."""

    def privilegedStartService(self) -> object:
        """Listen; may raise ``PortTaken``."""

    def startService(self) -> object:
        """Begin to serve; may raise ``PortTaken`` or ConfigurationError."""

    def stopService(self) -> object:
        """Stop in order."""

    def hurry(self) -> None:
        """Stop at once."""

    def reload(self, settings: Settings) -> None:
        """Serve by new settings from now on."""


class Process(Service):
    """The process.

    Attributes:
        served: what it does.
    """

    def __init__(
        self,
        make: Callable[["Process"], Served],
        *,
        reactor: Any,
        log: LineLog,
        sink: StdoutSink,
        observer: ILogObserver,
        reread: Callable[[], Settings],
        reread_changed: Callable[[], Settings | None] = lambda: None,
        watch: float = 0.0,
        worker: bool = False,
        exit_unusable: int = EXIT_CONFIGURATION,
    ) -> None:
        """A process that does nothing yet.

        Args:
            make: makes what it does; that may call ``give_up`` and ``end``.
            reactor: the one that runs.
            log: where lines go.
            sink: where the log ends.
            observer: takes what Twisted logs.
            reread: gives the settings as they are now; may raise ConfigurationError.
            reread_changed: gives them if a file that they were made of has changed, else None;
                may raise ConfigurationError.
            watch: seconds between two calls of it; 0: it is never called.
            worker: whether this is one of several, which heeds only some signals.
            exit_unusable: code with which it ends if it cannot serve by the settings.
        """
        self._reactor = reactor
        self._log = log
        self._sink = sink
        self._observer = observer
        self._reread_settings = reread
        self._reread_changed = reread_changed
        self._watch_seconds = watch
        self._next_look: IDelayedCall | None = None
        self._worker = worker
        self._exit_unusable = exit_unusable
        self._listens = False
        self._stopping = False
        self._exit_code = 0
        self.served = make(self)

    def setServiceParent(self, parent: Any) -> None:
        """Twistd takes its log observer from the application we become part of."""
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Listen; the process ends if that cannot be."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._or_exit(self.served.privilegedStartService)
        self._listens = True
        self._reactor.callWhenRunning(self._catch_signals)

    def startService(self) -> None:
        """Begin to serve."""
        if not self._listens:  # twist, unlike twistd, has no privileged start
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        self._or_exit(self.served.startService)
        self._watch()

    def _or_exit(self, begin: Callable[[], object]) -> None:
        """Begin with something, or end with a line that says why that cannot be."""
        try:
            begin()
        except PortTaken as error:
            self._exit(EXIT_PORT_TAKEN, str(error))
        except ConfigurationError as error:
            self._exit(self._exit_unusable, *error.problems)

    def _exit(self, code: int, *problems: str) -> NoReturn:
        for problem in problems:
            self._log.log("error", "startup", message=problem)
            say(problem)
        self._sink.flush()
        raise SystemExit(code) from None

    def _catch_signals(self) -> None:
        """Ours, because a clean stop exits with 0 and a second signal means at once.

        A terminal's Ctrl-C goes to workers, too, and a service manager may end all processes
        alike. So they wait to be told by the front, except for SIGTERM, which only begins.
        """
        if self._worker:
            self._catch(signal.SIGTERM, self.end)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        else:
            self._catch(signal.SIGTERM, self._terminate)
            self._catch(signal.SIGINT, self._terminate)
            self._catch(signal.SIGHUP, self._reread)

    def _catch(self, number: int, act: Callable[[], None]) -> None:
        signal.signal(number, lambda *_: self._reactor.callFromThread(act))

    def _terminate(self) -> None:
        if self._stopping:
            self.served.hurry()
        else:
            self.end()

    def end(self) -> None:
        """Stop in order, if we are not about to."""
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def _reread(self) -> None:
        _ = self.reload()

    def reload(self) -> list[str]:
        """Put the settings in force that are there now; what is wrong with them."""
        return self._put_in_force(self._reread_settings)

    def _put_in_force(
        self, read: Callable[[], Settings | None], why: str = ""
    ) -> list[str]:
        try:
            settings = read()
            if settings is not None:
                if why:
                    self._log.log("info", "reload", message=why)
                self.served.reload(settings)
                self._watch_seconds = settings.watch
                self._watch()
        except ConfigurationError as error:
            for problem in error.problems:
                self._log.log("error", "reload", message=problem)
            return list(error.problems)
        return []

    def _watch(self) -> None:
        """Look at files when it is time for it; only one process does."""
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._watch_seconds and not self._worker and not self._stopping:
            self._next_look = self._reactor.callLater(self._watch_seconds, self._look)

    def _look(self) -> None:
        self._next_look = None
        self._watch()  # first: a bug in what follows does not end the watch
        _ = self._put_in_force(self._reread_changed, _CHANGED)

    def give_up(self) -> None:
        """Stop in order, then exit with the code of a configuration error."""
        self._exit_code = EXIT_CONFIGURATION
        self._terminate()

    def stopService(self) -> Deferred[None]:
        """Stop, and write the last line."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._watch_seconds = 0.0
        self._watch()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        stopped: Any = self.served.stopService()
        await stopped
        self._sink.flush()
        if self._exit_code:
            os._exit(self._exit_code)  # twistd has no way to be told one


def say(sentence: str) -> None:
    """Tell whoever watches standard error, which twistd sends into the log."""
    with suppress(OSError):
        os.write(2, f"apiproxy: {sentence}\n".encode(errors="replace"))


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
                say(f"cannot notify {address}: {error}")

    return notify
