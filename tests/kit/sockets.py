"""WebSockets on the bench: the handshakes as bytes, and a socket that is open."""

import base64

from tests.kit.frames import accept_key, masked
from tests.kit.memory import NONCE, Agent, Bench, Upstream, get, head

AGENT_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
AGENT_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OUR_KEY = base64.b64encode(NONCE)
MASK = NONCE[:4]
"""The mask of what we send upstream ourselves."""


def upgrade(target: str = "/v1/realtime", *lines: str) -> bytes:
    """An agent's opening handshake."""
    return get(
        target,
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {AGENT_KEY}",
        *lines,
    )


def switch(*lines: str, accepted: str | None = None) -> bytes:
    """The provider's 101."""
    return head(
        "101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accepted or accept_key(OUR_KEY).decode()}",
        *lines,
    )


def opened(bench: Bench, **transport: object) -> tuple[Agent, Upstream]:
    """An open WebSocket; what the handshakes were has been forgotten."""
    agent = bench.agent(**transport)
    agent.send(upgrade())
    line = bench.line()
    line.send(switch())
    assert agent.take().startswith(b"HTTP/1.1 101 ")
    line.take()
    return agent, line


def from_agent(frame: bytes) -> bytes:
    """A short frame of ours as it is masked toward the provider, without its mask."""
    assert frame[1] & 0x80, frame
    assert frame[2:6] == MASK, frame
    return frame[:1] + bytes((frame[1] & 0x7F,)) + masked(frame[6:], MASK)
