"""How much an event says: the bytes of its text, arguments and thoughts.

Only needed while nobody has told figures: to know how far a running answer is, and to
estimate one that ends without them. So it need not be exact, and what is nested deeper than
content ever is does not count.
"""

from apiproxy.providers.usage.shapes import Block, Event

_DEPTH = 6

_AUDIO_SHARE = 800
"""Base64 of 24 kHz audio for which a byte is counted: a token is 50 ms, or 3200 of it."""


def spoken(event: Event) -> int:
    """Bytes that an event adds to an answer, or that a whole answer has.

    What an event repeats, such as ``response.output_text.done``, adds nothing.
    """
    delta = event.delta
    if delta is not None:
        if isinstance(delta, Block):
            return _block(delta, _DEPTH)
        if event.type is not None and event.type.endswith("audio.delta"):
            return len(delta) // _AUDIO_SHARE + 1
        return _text(delta)
    size = 0
    for choice in event.choices or ():
        said = choice.delta or choice.message
        size += _text(choice.text) if said is None else _block(said, _DEPTH)
    for candidate in event.candidates or ():
        size += _block(candidate.content, _DEPTH)
    if event.turn is not None:
        size += _block(event.turn.model_turn, _DEPTH)
    if event.type is None or event.type == "message":
        size += _whole(event)
    return size


def _whole(event: Event) -> int:
    """What a document says that is not a chat."""
    size = _either(event.content, _DEPTH) + _either(event.text, _DEPTH)
    if isinstance(event.output, Block):
        return size + _block(event.output, _DEPTH)
    return size + _blocks(event.output, _DEPTH)


def _text(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _either(said: str | Block | list[Block] | None, depth: int) -> int:
    if isinstance(said, Block):
        return _block(said, depth)
    if isinstance(said, list):
        return _blocks(said, depth)
    return _text(said)


def _blocks(blocks: list[Block] | None, depth: int) -> int:
    return sum([_block(block, depth) for block in blocks or ()])


def _block(block: Block | None, depth: int) -> int:
    if block is None or not depth:
        return 0
    depth -= 1
    size = _either(block.text, depth) if block.text else 0
    size += _either(block.content, depth) if block.content else 0
    size += _text(block.partial_json) + _text(block.arguments) + _text(block.thinking)
    size += _text(block.refusal) + _text(block.reasoning_content or block.reasoning)
    size += len(bytes(block.given)) + len(bytes(block.called))
    for call in block.tool_calls or ():
        size += _text(call.function.arguments) if call.function else 0
    if block.function_call is not None:
        size += _text(block.function_call.arguments)
    if block.parts or block.summary:
        size += _blocks(block.parts, depth) + _blocks(block.summary, depth)
    for inner in (block.message, block.tool_use, block.thought, block.thought_text):
        size += _block(inner, depth) if inner is not None else 0
    return size
