"""Request ids: UUIDs of version 4 (RFC 9562, section 5.4), in a fifth of ``uuid``'s time."""

import struct
from binascii import hexlify
from collections.abc import Callable, Iterator

_AT_ONCE = 64
_SIZE = 16 * _AT_ONCE
_FREE = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff") * _AT_ONCE)
_VERSION = int.from_bytes(bytes.fromhex("00000000000040008000000000000000") * _AT_ONCE)
_GROUPS = struct.Struct("8s4s4s4s12s")


def fresh_ids(random: Callable[[int], bytes]) -> Callable[[], str]:
    """A function that makes ids which are not used twice.

    Args:
        random: gives so many bytes of chance; asked for those of many ids at once, because
            each call of it is a call of the system.
    """
    return _ids(random).__next__


def _ids(random: Callable[[int], bytes]) -> Iterator[str]:
    while True:
        many = int.from_bytes(random(_SIZE)) & _FREE | _VERSION
        for groups in _GROUPS.iter_unpack(hexlify(many.to_bytes(_SIZE))):
            yield b"-".join(groups).decode()
