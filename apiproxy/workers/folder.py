"""A folder for the ledger that workers share, where the settings name no place for one.

Budgets must hold for all workers together, so they cannot be counted in the memory of each. A
database in a folder does it; in memory, if there is a file system there (tmpfs). It lives as
long as the service, as budgets in the memory of one process do.

A front that is killed cannot remove it. So a front holds a lock on a file in its folder, which
the system lets go of however the front ends, and the next front removes those folders of the
same user that nobody holds any more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

_log = Logger()

PLACES = ("/dev/shm", tempfile.gettempdir())  # noqa: S108  # made by mkdtemp  # nosec B108
"""Where it may be, the best first."""

_PREFIX = "apiproxy-ledger-"
_LOCK = "front.lock"


class PrivateFolder:
    """A folder that only we can look into.

    Attributes:
        path: of the folder; empty as long as there is none.
    """

    def __init__(self, places: Sequence[str] | None = None) -> None:
        """There is none yet.

        Args:
            places: where it may be, the best first; ``PLACES`` if not said.
        """
        self.path = ""
        self._places = PLACES if places is None else places
        self._lock: int | None = None

    def make(self) -> None:
        """Make it, with mode 0700.

        Raises:
            OSError: there is no place where it could be.
        """
        problem: OSError | None = None
        for place in self._places:
            try:
                self.path = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
                self._lock = _locked(Path(self.path) / _LOCK, os.O_CREAT)
            except OSError as error:
                problem = error
            else:
                _tidy(Path(place))
                return
        raise problem or FileNotFoundError("there is nowhere to look")

    def remove(self) -> None:
        """Remove it with all that is in it; nothing happens if there is none."""
        path, self.path = self.path, ""
        if path:
            _remove(Path(path))
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __repr__(self) -> str:
        return f"<PrivateFolder {self.path or 'nowhere'}>"


def _locked(path: Path, flags: int = 0) -> int:
    """A descriptor that holds the lock.

    Raises:
        OSError: somebody else holds it, or there is none.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _tidy(place: Path) -> None:
    """Remove what fronts have left behind that were killed."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # others' folders, and those that are gone by now
            if folder.lstat().st_uid == os.geteuid():
                lock = _locked(folder / _LOCK)
                _remove(folder)
                os.close(lock)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        _log.warn("{folder} was not removed: {error}", folder=folder, error=error)
