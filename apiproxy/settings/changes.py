"""Files that hold a key, or the list of callers, and hold something else by now.

Whoever rotates a key writes a file, and cannot always send a signal as well: a mounted secret
of Kubernetes just changes. So the files that the settings were made of are looked at now and
then. What is new counts when it was found twice, because a file may be half written; and what
made no sense is not tried again until it changes.

Only ordinary files are looked at: a pipe would be read empty, or never answer.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from apiproxy.settings.origin import Origin

_MOST = 8 * 1024 * 1024
"""Bytes of a file that is looked at."""

Contents = dict[bytes, bytes | None]
"""What files hold, by path; None for one that cannot be read."""


class Changes:
    """Compares what files hold with what they held."""

    def __init__(self, read: Callable[[bytes], bytes | None] | None = None) -> None:
        """Nothing has been seen yet.

        Args:
            read: gives what the file at a path holds, None if it cannot be read; may raise
                ``NotWatched``.
        """
        self._read = read or read_ordinary
        self._seen: Contents = {}
        self._told: Contents = {}

    def found(self, origin: Origin) -> bool:
        """Whether files hold something new, which has come to rest.

        Args:
            origin: what they held when they were read.
        """
        before, self._seen = self._seen, self._differing(origin)
        if not self._seen or self._seen != before or self._seen == self._told:
            return False
        self._told = self._seen
        return True

    def _differing(self, origin: Origin) -> Contents:
        found: Contents = {}
        for path, held in origin.files.items():
            try:
                now = self._read(path)
            except NotWatched:
                continue
            if now != held:
                found[path] = now
        return found

    def __repr__(self) -> str:
        return f"<Changes, {len(self._seen)} found>"


class NotWatched(Exception):
    """This is no ordinary file, or too large to be looked at again and again."""


def read_ordinary(path: bytes) -> bytes | None:
    """What an ordinary file holds; None if it cannot be read.

    Raises:
        NotWatched: there is something else.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
            raise NotWatched
        return Path(os.fsdecode(path)).read_bytes()
    except OSError:
        return None
