"""That a process is there, as others can see it: a file it has locked.

The kernel gives the lock back however the process ends, and at once, so there is nothing to
renew, and no process id that might be somebody else's by now. It also holds between
containers that share a folder on one machine. Locks of ``flock`` belong to the open file,
so two ledgers in one process do not confuse each other either.
"""

import fcntl
import os
from pathlib import Path

_SUFFIX = ".owner"


class Presence:
    """Somebody is there, until ``end`` or the end of the process.

    Attributes:
        token: the name under which others can ask.
    """

    def __init__(self, folder: Path, token: str) -> None:
        """Be there.

        Args:
            folder: where the files are.
            token: not used by anybody before.

        Raises:
            OSError: the file cannot be written or locked.
        """
        self.token = token
        self._path = _path(folder, token)
        self._fd = _locked(self._path)

    def end(self) -> None:
        """Not there any more."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def __repr__(self) -> str:
        return f"<Presence {self.token}>"


def gone(folder: Path, token: str) -> bool:
    """Whether somebody who was there is no more."""
    path = _path(folder, token)
    fd = _unlocked(path)
    if fd is not None:
        os.close(fd)
    return fd is not None or not path.exists()


def forget(folder: Path, token: str) -> None:
    """Remove the file of somebody who is gone; nothing, if somebody is there."""
    path = _path(folder, token)
    fd = _unlocked(path)
    if fd is not None:
        # While it is locked, so that whoever has just made it notices.
        path.unlink(missing_ok=True)
        os.close(fd)


def tokens(folder: Path) -> list[str]:
    """Of all who have left a file, whether they are there or not."""
    return [path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}")]


def _path(folder: Path, token: str) -> Path:
    return folder / (token + _SUFFIX)


def _unlocked(path: Path) -> int | None:
    """The file, locked by us now; None if somebody has locked it or it is not there."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _locked(path: Path) -> int:
    # Whoever tidies up may remove the file between our making and our locking it; then the
    # lock is on a file that nobody can find, and we make another one.
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
