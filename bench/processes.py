"""Processes that are started here, pinned to a core, and ended whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from bench.proc import family, started

_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 5.0


class Unavailable(Exception):
    """Something did not start, or cannot do what is asked; the text says why."""


class Running:
    """A process of ours.

    Attributes:
        pid: of it; ``taskset`` has become it.
        log: the file that its output goes to.
    """

    def __init__(self, process: "subprocess.Popen[Any]", log: Path) -> None:
        self._process = process
        self.pid = process.pid
        self.log = log

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def pipes(self) -> tuple[IO[str], IO[str]]:
        """Its standard input and output, if it was started with pipes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def last_words(self) -> str:
        """The end of its output, in one line."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-2:])[-300:]

    def forget_output(self) -> None:
        """Empty the log; it was opened for appending."""
        if self.log.exists():
            os.truncate(self.log, 0)

    def stop(self, patience: float = _PATIENCE_SECONDS) -> None:
        """End it and its children by their pids, politely at first.

        Args:
            patience: seconds until it is killed.
        """
        below = family(self.pid)[1:] if self.alive else []
        born = {pid: started(pid) for pid in below}
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid, when in born.items():
            if when is not None and started(pid) == when:  # it outlived its parent
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Stage:
    """Everything that runs; leaving it ends all, in reverse order.

    Attributes:
        folder: for configurations and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Running] = []

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        while self._running:
            self._running.pop().stop(patience=2)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int,
        env: Mapping[str, str] | None = None,
        pipes: bool = False,
        cwd: Path | None = None,
    ) -> Running:
        """Start a process.

        Args:
            name: of its log file.
            command: program and arguments.
            core: that it, and what it starts, may run on.
            env: its environment beside PATH and HOME.
            pipes: talk to it; else its output goes to the log.
            cwd: its working directory.

        Raises:
            Unavailable: there is no such program.
        """
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(  # noqa: S603
                    ["taskset", "-c", str(core), *command],  # noqa: S607
                    stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if pipes else output,
                    stderr=output,
                    env=_environment(env or {}),
                    cwd=cwd,
                    text=True,
                    start_new_session=True,  # Ctrl-C is ours; we end them in order
                )
            except FileNotFoundError as error:
                raise Unavailable(str(error)) from error
        running = Running(process, log)
        self._running.append(running)
        return running

    def stop(self, running: Running) -> None:
        """End one before the others."""
        running.stop()
        if running in self._running:
            self._running.remove(running)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ.get(name, "") for name in ("PATH", "HOME")}
    return {**kept, "LANG": "C.UTF-8", **extra}


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at the moment, below the ephemeral ones.

    Connections of the load take ephemeral ports by the thousand; a listener among them
    would sooner or later find its port taken.
    """
    found: list[int] = []
    number = 18000 + os.getpid() % 900
    while len(found) < count:
        number += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
        if number not in _given:
            _given.add(number)
            found.append(number)
    return found


_given: set[int] = set()


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_listening(running: Running, port: int, seconds: float) -> float:
    """Wait until a process takes connections.

    Returns:
        The seconds that took.

    Raises:
        Unavailable: it ended, or did not in time.
    """
    return wait_for(running, lambda: listens(port), seconds)


def wait_for(running: Running, ready: Callable[[], bool], seconds: float) -> float:
    """Wait until something about a process holds.

    Returns:
        The seconds that took.

    Raises:
        Unavailable: it ended, or it did not hold in time.
    """
    began = time.monotonic()
    while not ready():
        if not running.alive:
            raise Unavailable(f"it ended: {running.last_words()}")
        if time.monotonic() - began > seconds:
            words = running.last_words()
            raise Unavailable(f"not ready after {seconds:.0f} s: {words}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began
