"""Bodies inflated on a copy, in bounded steps (RFC 9110, section 8.4).

A few bytes can hold gigabytes, so nothing is inflated in one go: what comes out is handed to
the consumer in pieces of at most 64 KiB, and after ``limit`` bytes the work is over; sooner
where a lot comes out of next to nothing (``most_of``). The libraries are imported when a body
needs them, since most do not. ``Inflate.feed`` is an attribute: for a body that is not encoded
it is the consumer itself and costs nothing.

Nothing is raised for what a peer sends. What went wrong is said in ``Inflate.gap``, and the
bytes that follow are passed over.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import brotli  # type: ignore[import-untyped]

PIECE = 64 * 1024
"""Bytes that are handed on at once, at most."""

CONTENT_ENCODING = "content_encoding"
ENCODING_BROKEN = "encoding_broken"
ENCODING_CUT = "encoding_cut"
ENCODING_LIMIT = "encoding_limit"

PLENTY = 4 * 1024 * 1024
"""Bytes that anything may inflate to, however few it came as."""

MOST_TIMES = 250
"""How many times its size what is larger may inflate to. Text comes to 10, the dullest
conversation to 60; 1000 is a bomb."""

_MAX_CODINGS = 2
"""Codings that a body may have, one upon the other."""

_MAX_FRAMES = 4096
"""Gzip members or zstd frames in a body: each makes a decoder, even if it is empty."""

_ZSTD_WINDOW = 23
"""The largest window, as a power of two, that this coding may use (RFC 9659)."""

_ZSTD_FRAMES = b"\x28" + bytes(range(0x50, 0x60))
"""How a frame begins, or one to be skipped (RFC 8878, section 3.1)."""

_BROTLI_STEP = 32_000
"""Brotli makes blocks of 32752, 65520 and more bytes until there are this many."""

Take = Callable[[bytes], None]


def most_of(size: int, limit: int) -> int:
    """How many bytes may come out of so many.

    Args:
        size: bytes that were compressed.
        limit: the most in any case.
    """
    return min(limit, max(PLENTY, MOST_TIMES * size))


class Inflate:
    """Inflates one body.

    Attributes:
        feed: takes the next bytes of the body, encoded, cut anywhere.
        gap: why no more is inflated: ``content_encoding`` (a coding that we do not know, or
            too many of them), ``encoding_broken``, ``encoding_limit``, or ``encoding_cut``
            (the body is over and the coding is not); empty if all is well.
        identity: whether the body is not encoded, and ``feed`` is the consumer.
    """

    __slots__ = ("_stages", "feed", "gap", "identity")

    feed: Take

    def __init__(self, encoding: bytes, take: Take, limit: int) -> None:
        """Inflating at the start of a body.

        Args:
            encoding: the value of ``Content-Encoding``, empty for none.
            take: gets what was in the body.
            limit: bytes that each coding may inflate to, if what came is not too small for
                them. A body that is not encoded has no limit here.
        """
        codings = read_codings(encoding)
        self.identity = not codings
        self.gap = ""
        self._stages: list[_Stage] = []
        self.feed = take
        if len(codings) > _MAX_CODINGS or not _CODINGS.keys() >= set(codings):
            self._stop(CONTENT_ENCODING)
            return
        for coding in codings:
            stage = _Stage(_CODINGS[coding](), self.feed, limit, self._stop)
            self._stages.append(stage)
            self.feed = stage.feed

    def end(self) -> None:
        """The body is over; it may turn out to be cut. No more may be fed."""
        if not self.gap and not all(stage.complete for stage in self._stages):
            self.gap = ENCODING_CUT
        self._let_go()

    def _stop(self, gap: str) -> None:
        self.gap = self.gap or gap
        self._let_go()

    def _let_go(self) -> None:
        """Stop the stages, and leave no circle of references with them."""
        for stage in self._stages:
            stage.stopped = True
        self._stages.clear()
        self.feed = _pass_over

    def __repr__(self) -> str:
        return f"<Inflate {self.gap or ('identity' if self.identity else 'running')}>"


def read_codings(encoding: bytes) -> tuple[bytes, ...]:
    """The codings in a ``Content-Encoding``, in the order they were put on.

    Returns:
        Lower-case names without ``identity``; empty for a body that is not encoded.
    """
    if not encoding:
        return ()
    names = [name.strip(b" \t").lower() for name in encoding.split(b",")]
    return tuple([name for name in names if name not in (b"", b"identity")])


def _pass_over(data: bytes) -> None:
    pass


class _Stage:
    """One coding of a body, which may be several streams one after the other.

    Attributes:
        stopped: whether no more is to be inflated.
    """

    __slots__ = (
        "_coding",
        "_fed",
        "_frames",
        "_limit",
        "_made",
        "_stop",
        "_stream",
        "_take",
        "stopped",
    )

    def __init__(
        self, coding: "_Coding", take: Take, limit: int, stop: Callable[[str], None]
    ) -> None:
        self._coding = coding
        self._take = take
        self._limit = limit
        self._fed = self._made = 0
        self._stop = stop
        self.stopped = False
        self._stream: _Stream | None = None
        self._frames = 0

    @property
    def complete(self) -> bool:
        """Whether the last stream is over, or none ever began."""
        return self._stream is None or self._stream.eof

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(data) <= PIECE:
            self._inflate(data)
            return
        # What is left of the input is copied for every piece that is made of it.
        for at in range(0, len(data), PIECE):
            self._inflate(data[at : at + PIECE])

    def _inflate(self, data: bytes) -> None:
        self._fed += len(data)
        while data and not self.stopped:
            stream = self._stream
            if stream is None or stream.eof:
                if stream is not None and data[0] not in self._coding.restarts:
                    self.stopped = True
                    return
                self._frames += 1
                if self._frames > _MAX_FRAMES:
                    self._stop(ENCODING_BROKEN)
                    return
                stream = self._stream = self._coding.open(data)
            data = self._drain(stream, data)

    def _drain(self, stream: "_Stream", data: bytes) -> bytes:
        """Hand on all that these bytes make; returns what came after the stream's end."""
        full = self._coding.full
        most = most_of(self._fed, self._limit)
        while not self.stopped:
            try:
                piece = stream.decompress(data, PIECE)
            except self._coding.error:
                self._stop(ENCODING_BROKEN)
                break
            size = len(piece)
            self._made += size
            if self._made > most:
                self._stop(ENCODING_LIMIT)
                break
            if size:
                self._take(piece)
            if size < full or stream.eof:
                return stream.unused_data if stream.eof else b""
            data = b""
        return b""


class _Stream(Protocol):
    """One stream of one coding, in the shape that zstd gives it."""

    @property
    def eof(self) -> bool:
        """Whether it is over."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take the next bytes, or none for more of the last; returns what they make."""


@frozen
class _Coding:
    """How one coding is undone.

    Attributes:
        open: makes the stream that begins with these bytes.
        error: what it raises for bytes that are none of it.
        restarts: the first bytes of a stream that may follow another one; what else
            follows is passed over, as browsers do.
        full: a piece with fewer bytes than this was the last one.
    """

    open: Callable[[bytes], _Stream]
    error: type[Exception]
    restarts: bytes = b""
    full: int = PIECE


class _ZlibStream:
    """gzip or deflate."""

    __slots__ = ("_inflate",)

    def __init__(self, bits: int) -> None:
        self._inflate = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        inflate = self._inflate
        return inflate.decompress(data or inflate.unconsumed_tail, max_length)


class _BrotliStream:
    """br, which does not tell what comes after its end, but fails."""

    __slots__ = ("_stream", "eof")

    unused_data = b""

    def __init__(self, stream: "brotli.Decompressor") -> None:
        self._stream = stream
        self.eof = False

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        stream = self._stream
        piece: bytes = stream.process(data, output_buffer_limit=_BROTLI_STEP)
        self.eof = stream.is_finished()
        return piece


def _gzip() -> _Coding:
    return _Coding(lambda data: _ZlibStream(31), zlib.error, b"\x1f")


def _deflate() -> _Coding:
    """With the wrapper of zlib, as it should be, or without, as some send it.

    A raw stream cannot begin with this: it would be a stored block with padding that is
    not zero.
    """

    def start(data: bytes) -> _Stream:
        return _ZlibStream(15 if data[0] & 0x0F == 8 else -15)

    return _Coding(start, zlib.error)


def _zstd() -> _Coding:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW}

    def start(data: bytes) -> _Stream:
        return zstd.ZstdDecompressor(options=options)

    return _Coding(start, zstd.ZstdError, _ZSTD_FRAMES)


def _br() -> _Coding:
    import brotli

    return _Coding(
        lambda data: _BrotliStream(brotli.Decompressor()), brotli.error, full=1
    )


_CODINGS: Mapping[bytes, Callable[[], _Coding]] = {
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": _deflate,
    b"zstd": _zstd,
    b"br": _br,
}
