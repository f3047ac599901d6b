"""What settings are made of, kept so that other processes can make the same of it."""

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

_NO_FILE = errno.ENOENT
_MOST = 64 * 1024
"""Bytes that are read from a descriptor."""


class Origin(Struct):
    """The environment, and the files that were read with it; all secrets are in it.

    Bytes, because names in an environment and paths need not be text.

    Attributes:
        environ: the environment.
        toml: text of the configuration file; None if there is none.
        files: what each file held that was read for it, by path.
    """

    environ: dict[bytes, bytes]
    toml: bytes | None = None
    files: dict[bytes, bytes] = {}

    @classmethod
    def of(cls, environ: Mapping[str, str], toml: bytes | None) -> "Origin":
        """One that no files have been read for yet."""
        encode = os.fsencode
        return cls({encode(n): encode(v) for n, v in environ.items()}, toml)

    def variables(self) -> dict[str, str]:
        """The environment."""
        return {os.fsdecode(n): os.fsdecode(v) for n, v in self.environ.items()}

    def noting(self, read: Callable[[str], bytes]) -> Callable[[str], bytes]:
        """A function that reads a file and keeps here what it held."""

        def noted(path: str) -> bytes:
            data = self.files[os.fsencode(path)] = read(path)
            return data

        return noted

    def renewed(self, found: Mapping[bytes, bytes | None]) -> "Origin":
        """The same, but for files that hold something else by now.

        Args:
            found: what they hold, by path; None for one that cannot be read.
        """
        held = {path: found.get(path, data) for path, data in self.files.items()}
        files = {path: data for path, data in held.items() if data is not None}
        return Origin(self.environ, self.toml, files)

    def read(self, path: str) -> bytes:
        """What a file held.

        Raises:
            FileNotFoundError: it could not be read.
        """
        try:
            return self.files[os.fsencode(path)]
        except KeyError:
            raise FileNotFoundError(_NO_FILE, os.strerror(_NO_FILE)) from None

    def __repr__(self) -> str:
        return f"<Origin {len(self.environ)} variables, {len(self.files)} files>"


_DESCRIPTOR = "/dev/fd/"


def read_once(path: str, earlier: Origin | None) -> bytes:
    """What a file holds; a descriptor is read to its end, closed, and never read again.

    Args:
        path: of the file; ``/dev/fd/N`` for a descriptor that we have inherited.
        earlier: where what stood behind it was kept, if it has been read.

    Raises:
        OSError: it cannot be read.
    """
    if not path.startswith(_DESCRIPTOR):
        return Path(path).read_bytes()
    if earlier is not None and os.fsencode(path) in earlier.files:
        return earlier.read(path)
    with open(int(path.removeprefix(_DESCRIPTOR)), "rb") as file:
        return file.read(_MOST)
