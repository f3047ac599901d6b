"""How a mock answers with an event stream."""

import json
from collections.abc import Sequence
from contextlib import suppress

from tests.agents.mock.model import Json
from tests.kit.http import chunk
from tests.kit.line import Gone
from tests.kit.provider import Behaviour, Call


def stream(
    events: Sequence[tuple[str, Json]],
    *,
    named: bool = True,
    last: bytes = b"",
    newline: bytes = b"\n",
    pause: float = 0.0,
) -> Behaviour:
    """An event stream, each event in a chunk of its own.

    Args:
        events: names and data.
        named: whether the names are sent.
        last: sent after them.
        newline: ends a line.
        pause: seconds between two events.
    """

    async def behave(call: Call) -> None:
        kind = (b"Content-Type", b"text/event-stream; charset=utf-8")
        call.start(200, [kind, (b"Transfer-Encoding", b"chunked")])
        # Codex leaves after the last event, before the end of the body.
        with suppress(Gone):
            for name, data in events:
                head = b"event: " + name.encode() + newline if named else b""
                line = b"data: " + json.dumps(data).encode() + newline + newline
                await call.send(chunk(head + line))
                if pause:
                    await call.line.sleep(pause)
            call.write((chunk(last) if last else b"") + b"0\r\n\r\n")
            return
        raise Gone

    return behave
