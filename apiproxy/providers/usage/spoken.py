"""How much an event says: the bytes of its text, arguments and thoughts.

Only needed while nobody has told figures: to know how far a running answer is, and to
estimate one that ends without them. So it need not be exact, and what is nested deeper than
content ever is does not count.
"""

from msgspec import Raw, Struct
from msgspec.structs import astuple

from apiproxy.providers.usage.shapes import NO_RAW, Block, Event

_DEPTH = 10

_AUDIO_SHARE = 800
"""Base64 of 24 kHz audio for which a byte is counted: a token is 50 ms, or 3200 of it."""


def spoken(event: Event) -> int:
    """Bytes that an event adds to an answer, or that a whole answer has.

    What an event repeats, such as ``response.output_text.done``, adds nothing.
    """
    delta = event.delta
    if delta is not None:
        if isinstance(delta, Block):
            return _size(delta, _DEPTH)
        if event.type is not None and event.type.endswith("audio.delta"):
            return len(delta) // _AUDIO_SHARE + 1
        return _text(delta)
    size = 0
    for choice in event.choices or ():
        said = choice.delta or choice.message
        size += _size(choice.text if said is None else said, _DEPTH)
    for candidate in event.candidates or ():
        size += _size(candidate.content, _DEPTH)
    if event.turn is not None:
        size += _size(event.turn.model_turn, _DEPTH)
    if event.type is None or event.type == "message":
        for whole in (event.content, event.text, event.output):
            size += _size(whole, _DEPTH)
    return size


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _size(said: object, depth: int) -> int:
    """Bytes of text in content, and in whatever is in that."""
    if said is None or not depth:
        return 0
    if isinstance(said, str):
        return _text(said)
    if isinstance(said, Raw):
        return len(bytes(said))
    parts = said if isinstance(said, list) else _parts(said)
    size = 0
    for part in parts:
        if part is not None and part is not NO_RAW:
            size += _size(part, depth - 1)
    return size


def _parts(said: object) -> tuple[object, ...]:
    """What a block has in it, but for the reason why it ended."""
    assert isinstance(said, Struct)
    parts = astuple(said)
    return parts[:-1] if isinstance(said, Block) else parts
