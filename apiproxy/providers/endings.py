"""How an answer ends that is cut off while it runs: legally in its dialect, and never unseen.

A stream that simply stops, or that ends with ``finish_reason`` or ``[DONE]``, looks like a
whole answer to some client. So each ending here is what the dialect's SDKs raise on:

===========  =============================================================================
dialect      what is sent
===========  =============================================================================
chat         a chunk with ``error``, and ``[DONE]``
Responses    ``response.failed``, at which Codex stops, and an event ``error`` with an
             ``error`` in it, at which the SDKs raise
Messages     the end of the content block under way, for which Claude Code waits, and an
             event ``error``
Gemini       an event with ``error`` in it
Bedrock      a message of the type ``exception``
WebSocket    an event ``error``; a response under way ends with the socket
Live         nothing but the closing of the socket
===========  =============================================================================

An ending stands between two events. Nothing can be appended to an answer with a content
encoding, to a document or to an array: those are aborted.
"""

from binascii import crc32
from collections.abc import Mapping

import msgspec

from apiproxy.core.errors import ProxyError
from apiproxy.core.frames import POLICY
from apiproxy.core.usage import Record
from apiproxy.providers.calls import Shape
from apiproxy.providers.dialects import (
    AnthropicDialect,
    GeminiDialect,
    OpenAIDialect,
)

_OPENAI = OpenAIDialect()
_ANTHROPIC = AnthropicDialect()
_GEMINI = GeminiDialect()

_FINAL = "invalid_prompt"
"""The code at which all clients give up at once and show our message; at most others Codex
and Copilot try again, and at ``insufficient_quota`` Codex shows a message of its own."""

_MAX_REASON = 123
"""Bytes of a reason in a Close frame (RFC 6455, section 5.5)."""


def stream_ending(
    shape: Shape,
    error: ProxyError,
    request_id: str,
    record: Record | None = None,
) -> bytes:
    """What ends a running stream.

    Args:
        shape: the dialect of the stream.
        error: why it ends.
        request_id: ours.
        record: the response that is cut, for its id and model.

    Returns:
        The last bytes of the body, in the form of the stream so far.
    """
    if shape == "messages":
        return _block_end(record) + _event(
            _ANTHROPIC.render(error, request_id), b"error"
        )
    if shape == "gemini":
        return b"data: " + _GEMINI.render(error, request_id) + b"\r\n\r\n"
    if shape == "responses":
        failed, told = _failed(error, record), _told(error, request_id)
        return _event(failed, b"response.failed") + _event(told, b"error")
    if shape in ("converse", "invoke"):
        return _exception(error)
    return _event(_OPENAI.render(error, request_id)) + _event(b"[DONE]")


def socket_refusal(error: ProxyError, request_id: str) -> bytes:
    """The event that refuses a ``response.create``; the socket lives on.

    It has the header that says whether to try again, as an answer would: Copilot looks for it.

    Args:
        error: why it is refused.
        request_id: ours.
    """
    told = {
        "type": "error",
        "status": error.status,
        "error": _inner(error, request_id),
        "headers": {
            "x-apiproxy-error": error.code,
            "x-should-retry": str(error.retriable).lower(),
        },
    }
    return msgspec.json.encode(told)


def live_close(error: ProxyError) -> tuple[int, bytes]:
    """Code and reason of the Close frame that ends Gemini Live, which has no errors."""
    reason = f"{error.code}: {error.message}".encode()[:_MAX_REASON]
    return POLICY, reason.decode("utf-8", "ignore").encode()


def _block_end(record: Record | None) -> bytes:
    """The end of the content block under way, if there is one."""
    if record is None or record.block is None:
        return b""
    stop = {"type": "content_block_stop", "index": record.block}
    return _event(msgspec.json.encode(stop), b"content_block_stop")


def _event(data: bytes, name: bytes = b"") -> bytes:
    head = b"event: " + name + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"


def _inner(error: ProxyError, request_id: str) -> object:
    """The error itself, as OpenAI has it in answers."""
    return msgspec.json.decode(_OPENAI.render(error, request_id))["error"]


def _told(error: ProxyError, request_id: str) -> bytes:
    """The event ``error`` of Responses."""
    told = {
        "type": "error",
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "param": None,
        "sequence_number": 0,
        "error": _inner(error, request_id),
        "request_id": request_id,
    }
    return msgspec.json.encode(told)


def _failed(error: ProxyError, record: Record | None) -> bytes:
    """The event ``response.failed``."""
    record = record or Record()
    code = "server_error" if error.retriable else _FINAL
    told = {
        "type": "response.failed",
        "sequence_number": 0,
        "response": {
            "id": record.id or "resp_apiproxy",
            "object": "response",
            "status": "failed",
            "model": record.model,
            "error": {"code": code, "message": error.message},
            "incomplete_details": None,
            "output": [],
            "usage": None,
        },
    }
    return msgspec.json.encode(told)


_TYPES: Mapping[bool, str] = {
    True: "serviceUnavailableException",
    False: "validationException",
}


def _exception(error: ProxyError) -> bytes:
    """A message of Bedrock's event stream that the AWS SDKs raise as an exception."""
    headers = b"".join(
        bytes((len(name),)) + name + b"\x07" + len(value).to_bytes(2) + value
        for name, value in (
            (b":exception-type", _TYPES[error.retriable].encode()),
            (b":content-type", b"application/json"),
            (b":message-type", b"exception"),
        )
    )
    payload = msgspec.json.encode({"message": error.message, "code": error.code})
    size = 16 + len(headers) + len(payload)
    prelude = size.to_bytes(4) + len(headers).to_bytes(4)
    message = prelude + crc32(prelude).to_bytes(4) + headers + payload
    return message + crc32(message).to_bytes(4)
