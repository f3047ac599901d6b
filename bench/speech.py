"""What is said on the wire: heads, events and frames, made before anything is measured.

An event has the shape of a chat completion's chunk, because gateways that know the dialect
parse it. Its content is a stamp, ``@`` and sixteen digits: the microsecond, by the clock
that all processes of a machine share, at which the provider meant to send it.
"""

import base64
import hashlib
import json
import random
import re
import struct
import zlib

STAMP = re.compile(rb"@(\d{16})")
PATH = "/v1/chat/completions"

_EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"paced","choices":[{"index":0,"delta":{"role":"assistant","content":"@%016d"},'
    b'"finish_reason":null}]}\n\n'
)
EVENT_CHUNK = b"%x\r\n" % len(_EVENT % 0) + _EVENT + b"\r\n"
"""A chunk with one event; put the microseconds in."""

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)

_MODEL = re.compile(rb'"model": ?"(?:openai/)?(paced|held)-(\d+)"')
_GO = re.compile(rb'"model": ?"(?:openai/)?go"')
_STREAMED = re.compile(rb'"stream": ?true')
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASK = b"\x37\xfa\x21\x3d"
_NO_TAKEOVER = (
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)


def answer_body(size: int = 800) -> bytes:
    """A chat completion of so many bytes, with usage."""
    message = {"role": "assistant", "content": ""}
    answer = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "paced-0",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 99, "total_tokens": 399},
    }
    message["content"] = "x" * (size - len(json.dumps(answer)))
    return json.dumps(answer).encode()


def stream_request(pace_us: int, fields: dict[str, str], held: bool = False) -> bytes:
    """A request for a stream with an event every so many microseconds; 0: only one.

    Args:
        pace_us: from event to event.
        fields: header lines beside the usual ones.
        held: the second event waits for ``go_request``.
    """
    model = f'"model":"{"held" if held else "paced"}-{pace_us}"'
    words = "Look at the failing test again, please. " * 8
    text = (
        f'{{{model},"stream":true,"messages":[{{"role":"user","content":"{words}"}}]}}'
    )
    return request("POST", text.encode(), fields)


def go_request(fields: dict[str, str]) -> bytes:
    """A request that makes all held streams begin, evenly spread over their pace."""
    body = b'{"model":"go","messages":[{"role":"user","content":"go"}]}'
    return request("POST", body, fields)


def request(method: str, body: bytes, fields: dict[str, str]) -> bytes:
    """A whole request of an agent."""
    usual = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "User-Agent": "OpenAI/Python 2.8.1",
        "Authorization": "Bearer sk-placeholder-of-the-agent",
        "X-Stainless-Lang": "python",
        "X-Stainless-Runtime": "CPython",
        "Content-Length": str(len(body)),
    }
    lines = [f"{method} {PATH} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**usual, **fields}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pace_asked(body: bytes) -> int | None:
    """The microseconds between events that a request asks for; None: no stream at all."""
    if _STREAMED.search(body) is None:
        return None
    model = _MODEL.search(body)
    return int(model[2]) if model else 0


def is_held(body: bytes) -> bool:
    """Whether the stream asked for waits for ``go_request`` after its first event."""
    model = _MODEL.search(body)
    return model is not None and model[1] == b"held"


def is_go(body: bytes) -> bool:
    """Whether this is ``go_request``."""
    return _GO.search(body) is not None


def upgrade_request(deflate: bool, fields: dict[str, str]) -> bytes:
    """The head that opens a WebSocket."""
    lines = [
        "GET /v1/responses HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Authorization: Bearer sk-placeholder-of-the-agent",
        *([f"Sec-WebSocket-Extensions: {_NO_TAKEOVER}"] if deflate else []),
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def upgrade_answer(head: bytes) -> bytes:
    """The provider's 101 to such a head; it takes deflate when offered."""
    found = re.search(rb"(?im)^sec-websocket-key:\s*(\S+)", head)
    key = found[1] if found else b""
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
    ]
    if b"permessage-deflate" in head:
        lines.append(b"Sec-WebSocket-Extensions: " + _NO_TAKEOVER.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def message(size: int, deflate: bool) -> bytes:
    """Payload of a message: so many bytes of sound, compressed on its own if asked for."""
    chance = random.Random(7)  # noqa: S311
    start, end = '{"type":"input_audio_buffer.append","audio":"', '"}'
    letters = "abcdefghijklmnopqrstuvwxyz     "
    text = "".join(chance.choices(letters, k=size - len(start) - len(end)))
    payload = (start + text + end).encode()
    if not deflate:
        return payload
    squeeze = zlib.compressobj(wbits=-15)
    return (squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frame(first: int, payload: bytes, *, masked: bool) -> bytes:
    """A WebSocket frame; ``first`` is its first byte: FIN, RSV1 and the opcode."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + _MASK + masking(payload, _MASK) if masked else head + payload


def take_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """The frame at the start: first byte, payload unmasked, length; None: not all is there."""
    if len(data) < 2:
        return None
    at, size = 2, data[1] & 0x7F
    if size == 126:
        at, size = 4, int.from_bytes(data[2:4], "big")
    elif size == 127:
        at, size = 10, int.from_bytes(data[2:10], "big")
    masked = data[1] & 0x80
    end = at + (4 if masked else 0) + size
    if len(data) < end:
        return None
    payload = data[end - size : end]
    return data[0], masking(payload, data[at : at + 4]) if masked else payload, end


def masking(payload: bytes, mask: bytes) -> bytes:
    """Mask a payload, or unmask it, which is the same."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return mixed.to_bytes(size, "big")
