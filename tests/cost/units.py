"""The units of work that are counted: what is sent for each, once everything is warm."""

import gc
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from apiproxy.core.chunked import chunk
from tests.cost.counting import Calls
from tests.cost.loop import Counting
from tests.cost.scene import ENDS_SECONDS, NEVER, Scene, uncounted
from tests.kit.frames import accept_key
from tests.kit.memory import answer, head, post

_WARM = 8
_TIMES = 15
_ENDS = 16

_HEAD = (
    "Content-Type: application/json",
    "Accept: application/json",
    "Accept-Encoding: identity",
    "User-Agent: OpenAI/Python 2.8.1",
    "Authorization: Bearer sk-placeholder-of-the-agent",
    "X-Stainless-Lang: python",
    "X-Stainless-Package-Version: 2.8.1",
    "X-Stainless-Runtime: CPython",
)
_WORDS = "Look at the failing test again, please. "
_ASKED = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (
    _WORDS.encode() * 31
)
_ANSWERED = (
    b'{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":300,"completion_tokens":99,"total_tokens":399}}'
    % (_WORDS.encode() * 15)
)
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"m","choices":[{"index":0,"delta":{"role":"assistant",'
    b'"content":"some more words of the answer"},'
    b'"finish_reason":null}]}\n\n'
)
_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
_STREAM = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
_UPGRADE = (
    b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_UPGRADED = ("Upgrade: websocket", "Connection: Upgrade")
_KEY = re.compile(rb"(?im)^sec-websocket-key: *(\S+)")
_SAID = b'{"type":"response.output_text.delta","item_id":"msg_1","delta":"words of an answer"}'
_SOUND = b'{"type":"input_audio_buffer.append","audio":"%b"}' % (b"UklGRiQA" * 5)
_DOWN = bytes((0x81, len(_SAID))) + _SAID
_UP = bytes((0x81, 0x80 | len(_SOUND))) + bytes(4) + _SOUND

Unit = Callable[[Counting], None]


def _request(scene: Scene) -> Unit:
    return _answered(scene, post("/v1/chat/completions", _ASKED, *_HEAD))


def _answered(scene: Scene, asked: bytes) -> Unit:
    """This request, and its answer."""
    answered = answer(_ANSWERED, "200 OK", "Content-Type: application/json")
    scene.agent.sendall(asked)
    scene.accept()
    scene.hear(asked[-4:])
    scene.down(answered)

    def once(counting: Counting) -> None:
        scene.up(asked, counting)
        scene.down(answered, counting)

    return once


def _ends(scene: Scene) -> Unit:
    once = _request(scene)

    def ends(counting: Counting) -> None:
        scene.proxy.flush()
        for _ in range(_ENDS):
            once(uncounted)
        counting(scene.proxy.flush)

    return ends


def _chunked(scene: Scene) -> Unit:
    lines = ("Host: localhost", *_HEAD, "Transfer-Encoding: chunked", "", "")
    asked = b"POST /v1/chat/completions HTTP/1.1\r\n" + "\r\n".join(lines).encode()
    asked += b"".join(chunk(_WORDS.encode() * 5) for _ in range(5)) + b"0\r\n\r\n"
    return _answered(scene, asked)


def _event(scene: Scene) -> Unit:
    scene.agent.sendall(post("/v1/chat/completions", _ASKED, *_HEAD))
    scene.accept()
    scene.hear(_ASKED[-4:])
    scene.down(head("200 OK", *_STREAM))
    return lambda counting: scene.down(_CHUNK, counting)


def _events(scene: Scene) -> Unit:
    _event(scene)
    return lambda counting: scene.down(_CHUNK * 5, counting)


def _socket(scene: Scene) -> None:
    scene.agent.sendall(_UPGRADE)
    scene.accept()
    asked = scene.hear(b"\r\n\r\n")
    key = _KEY.search(asked)
    assert key is not None, asked
    lines = (*_UPGRADED, f"Sec-WebSocket-Accept: {accept_key(key[1]).decode()}")
    scene.down(head("101 Switching Protocols", *lines))


def _frame_up(scene: Scene) -> Unit:
    _socket(scene)
    return lambda counting: scene.up(_UP, counting)


def _frame_down(scene: Scene) -> Unit:
    _socket(scene)
    return lambda counting: scene.down(_DOWN, counting)


UNITS: dict[str, Callable[[Scene], Unit]] = {
    "request": _request,
    "chunked": _chunked,
    "ends": _ends,
    "event": _event,
    "events": _events,
    "frame_up": _frame_up,
    "frame_down": _frame_down,
}
"""A JSON request of 1.3 kB answered with 0.8 kB on warm connections; one whose body comes in
five chunks; what is counted and logged of sixteen requests, at once; an event of 230 bytes on
an open stream, and five that come together; a WebSocket frame of 100 bytes from the agent,
which is sound, and one from the provider, which is a piece of an answer."""


def measured(name: str, folder: Path) -> Calls:
    """What one unit of work calls.

    It is done several times, and the most usual is returned: whatever else a process does now
    and then is not the unit's.

    Args:
        name: of the unit.
        folder: for files.
    """
    with patch(ENDS_SECONDS, NEVER):  # ends are told when there are enough of them
        scene = Scene(folder)
        try:
            once = UNITS[name](scene)
            for _ in range(_WARM):
                once(uncounted)
            return _most_usual(once)
        finally:
            scene.close()


def _most_usual(once: Unit) -> Calls:
    found = []
    collecting = gc.isenabled()
    gc.disable()  # finalizers run whenever they like
    try:
        for _ in range(_TIMES):
            calls = Calls()
            once(calls.counting)
            found.append(calls)
    finally:
        if collecting:
            gc.enable()
    totals = [calls.python.total() + calls.c.total() for calls in found]
    return found[totals.index(statistics.mode(totals))]
