"""Files that settings were read from, and that hold something else by now.

Whoever rotates a key writes a file, and cannot always send a signal as well: a mounted secret
of Kubernetes just changes. So files with keys, callers, prices or authorities are looked at
now and then. What is new counts when it was found twice, because a file may be half written,
and an empty one surely is: a shell empties what a slow program is about to fill. What made no
sense is not tried again until it changes.

Only ordinary files are looked at: a pipe would be read empty, or never answer, and the number
of a descriptor that was read may be that of anything by now. What was found is what the
settings are made of, and nothing is read a second time for them.
"""

import os
import stat
from collections.abc import Callable

from apiproxy.settings.origin import Origin

_MOST = 8 * 1024 * 1024
"""Bytes of a file that is looked at."""

_DESCRIPTORS = (b"/dev/fd/", b"/dev/std", b"/proc/")
"""How a path begins behind which each process finds something of its own."""

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
        self._tried: Contents = {}
        self._origin: Origin | None = None

    def found(self, origin: Origin) -> Contents:
        """What files hold that is new, and has come to rest; empty for nothing to be tried.

        Args:
            origin: what they held when they were read.
        """
        before, self._seen = self._seen, self._differing(origin)
        if origin is not self._origin or self._seen != self._tried:
            self._origin, self._tried = origin, {}
        if self._seen != before or self._seen == self._tried:
            return {}
        self._tried = self._seen
        return self._seen

    def _differing(self, origin: Origin) -> Contents:
        found: Contents = {}
        for path, held in origin.files.items():
            if path.startswith(_DESCRIPTORS):
                continue
            try:
                now = self._read(path)
            except NotWatched:
                continue
            if now != held and (now is None or now.strip()):
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
        # Between a look at the name and a look into it, it may become a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _held(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _held(descriptor: int) -> bytes:
    """What stands behind a descriptor.

    Raises:
        NotWatched: it is no ordinary file, or a large one.
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
        raise NotWatched
    with open(descriptor, "rb", closefd=False) as file:
        held = file.read(_MOST + 1)
    if len(held) > _MOST:  # it grows
        raise NotWatched
    return held
