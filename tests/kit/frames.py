"""WebSocket frames as bytes (RFC 6455, section 5), good ones and bad ones."""

import hashlib
import struct
from base64 import b64encode
from typing import Protocol

from attrs import frozen

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: bytes) -> bytes:
    """The answer to a ``Sec-WebSocket-Key`` (RFC 6455, section 4.2.2)."""
    return b64encode(hashlib.sha1(key + _GUID).digest())


class Readable(Protocol):
    """What frames can be read from."""

    async def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""


@frozen
class Frame:
    """One frame as it was received.

    Attributes:
        opcode: four bits.
        payload: unmasked, still compressed if it was.
        fin: whether it is the last of its message.
        rsv: the three reserved bits, 4 for RSV1.
        masked: whether it was masked.
    """

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length: int | None = None,
) -> bytes:
    """The bytes of one frame.

    Args:
        opcode: four bits, legal or not.
        payload: before masking.
        fin: whether the message ends here.
        rsv: the three reserved bits, 4 for RSV1.
        mask: four bytes, which an agent must use; None for no mask.
        length: what the header claims, if it is not to be the truth.
    """
    claimed = len(payload) if length is None else length
    flag = 0 if mask is None else 0x80
    if claimed < 126:
        size = struct.pack("!B", flag | claimed)
    elif claimed < 65536:
        size = struct.pack("!BH", flag | 126, claimed)
    else:
        size = struct.pack("!BQ", flag | 127, claimed)
    head = struct.pack("!B", (0x80 if fin else 0) | rsv << 4 | opcode) + size
    return head + (payload if mask is None else mask + masked(payload, mask))


def close_payload(code: int, reason: str = "") -> bytes:
    """What a Close frame carries."""
    return struct.pack("!H", code) + reason.encode()


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload with the mask put on, or taken off."""
    if not payload:
        return b""
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return number.to_bytes(len(payload), "big")


async def read_frame(source: Readable) -> Frame:
    """The next frame of a connection, unmasked."""
    first, second = await source.read(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await source.read(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await source.read(8))
    mask = await source.read(4) if second & 0x80 else None
    payload = await source.read(length)
    return Frame(
        opcode=first & 0x0F,
        payload=payload if mask is None else masked(payload, mask),
        fin=bool(first & 0x80),
        rsv=first >> 4 & 7,
        masked=mask is not None,
    )
