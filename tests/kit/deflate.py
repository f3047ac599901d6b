"""Compressed WebSocket messages (RFC 7692, section 7.2.1)."""

import zlib


class Deflater:
    """Compresses messages one after the other, each referring to those before."""

    def __init__(self, bits: int = 15) -> None:
        self._deflate = zlib.compressobj(wbits=-bits)

    def __call__(self, text: bytes) -> bytes:
        """The payload of one message."""
        data = self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(b"\x00\x00\xff\xff")


def deflated(text: bytes, bits: int = 15) -> bytes:
    """The payload of one message that refers to no other."""
    return Deflater(bits)(text)
