"""A file of lines that several processes append to, and that is turned over when it is full.

Everything in here may wait for the disk, or for another process, and so belongs in a thread.

A line is never in two pieces. Whoever writes holds a lock on the file (``flock``, which the
system gives back when a process dies), writes whole lines in one call, and cuts off again
what a full disk took only half of. The same lock makes turning over safe: who gets it looks
first whether the file he has open is still the one of that name. If another process has
turned it over meanwhile, or ``logrotate`` has, he opens the new one. So nobody has to be told.
"""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_TRIES = 100
"""How often the file may be turned over while we try to lock it."""

_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)


class Journal:
    """Appends to a file. Not for two threads at once."""

    def __init__(self, path: Path, *, most: int, keep: int) -> None:
        """Open nothing yet.

        Args:
            path: of the file; its directory is made if there is none.
            most: bytes after which it is turned over.
            keep: how many earlier files stay, as ``path.1`` (the latest), ``path.2``, …
        """
        self._path = path
        self._most = most
        self._keep = keep
        self._fd: int | None = None

    def open(self) -> None:
        """Open the file; it is made if there is none.

        Raises:
            OSError: that cannot be done.
        """
        if self._fd is None:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._fd = os.open(self._path, _FLAGS, 0o640)

    def append(self, lines: bytes) -> OSError | None:
        """Write whole lines, and wait until the disk has them.

        Returns:
            What else went wrong: the lines are written, but the file could not be turned
            over, or the disk does not say whether it has them. None for nothing.

        Raises:
            OSError: nothing was written.
        """
        fd = self._locked()
        problem = None
        try:
            size = os.fstat(fd).st_size
            if size and size + len(lines) > self._most:
                problem = self._turn_over()
                fd = self._locked()
            self._write(fd, lines)
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
        return problem or _sync(fd)

    def close(self) -> None:
        """Close the file; ``append`` opens it again."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def __repr__(self) -> str:
        return f"<Journal {self._path}, {'closed' if self._fd is None else 'open'}>"

    def _locked(self) -> int:
        """Our descriptor of the file that has the name now; we have the lock on it."""
        for _ in range(_TRIES):
            self.open()
            assert self._fd is not None
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if self._is_current(self._fd):
                return self._fd
            self.close()
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _turn_over(self) -> OSError | None:
        """Give the file another name, so that there is none of this name; we have its lock."""
        try:
            for number in range(self._keep, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(self._earlier(number - 1), self._earlier(number))
            if not self._keep:
                self._path.unlink()
        except OSError as error:
            return error
        return None

    def _earlier(self, number: int) -> Path:
        return Path(f"{self._path}.{number}") if number else self._path

    def _write(self, fd: int, lines: bytes) -> None:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # somebody died in the middle of a line
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(fd, size)
            raise


def _sync(fd: int) -> OSError | None:
    try:
        os.fdatasync(fd)
    except OSError as error:
        return None if error.errno in _CANNOT_SYNC else error
    return None
