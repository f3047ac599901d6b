"""What must hold whatever the scenario: keys stay where they belong, and bytes as they are."""

from apiproxy.cli.recipes import PLACEHOLDER
from tests.agents.evidence import (
    REFUSED,
    Problems,
    logged,
    received,
    says,
    sent,
)
from tests.agents.exact import differences
from tests.agents.programs import FORGOTTEN
from tests.agents.scene import KEYS, Outcome, Scene, real_key


def always(scene: Scene) -> Problems:
    """What must never be, whatever the scenario."""
    problems = [f"unknown: {each}" for each in scene.mock.unknown]
    return [
        *problems,
        *isolated(scene),
        *unknown_keys(scene),
        *exactly(scene),
        *clean(scene),
    ]


def kept(scene: Scene, outcome: Outcome, title: str) -> Problems:
    """An agent that is for WebSockets has asked on them only, and never anew.

    A title, for which no tools are offered, may be asked for as the agent likes.
    """
    asked = {each.transport for each in scene.mock.model.asked if each.tools}
    if "websocket" not in title:
        return [f"it asked by {asked}"] if "websocket" in asked else []
    problems = [] if asked == {"websocket"} else [f"it asked by {asked}"]
    if sum(request.upgrade for request in scene.mock.requests) != 1:
        problems.append(f"not one upgrade: {scene.mock.requests}")
    for words in ("Reconnecting", "Falling back"):
        if says(outcome, words):
            problems.append(f"it said: {words}")
    if [line["status"] for line in logged(scene, "websocket_upgrade_complete")] != [
        101
    ]:
        problems.append("the log does not have one WebSocket that ended well")
    for socket in scene.mock.sockets:
        offer = socket.call.request.get(b"sec-websocket-extensions") or b""
        if socket.deflate != (b"permessage-deflate" in offer):
            problems.append(f"of the offer {offer!r} came {socket.deflate}")
    return problems


def isolated(scene: Scene) -> Problems:
    """Keys stay where they belong, and nobody was reached but the provider."""
    problems = []
    key, header = real_key(scene.provider), KEYS[scene.provider][3].encode()
    for request in scene.mock.requests:
        values = request.all(header)
        if len(values) != 1 or key.encode() not in values[0]:
            problems.append(f"{request!r} with {values}")
    for raw, _ in scene.mock.raw:
        if PLACEHOLDER.encode() in raw:
            problems.append("the placeholder reached the provider")
    out = scene.service_output
    if PLACEHOLDER.encode() in out or key.encode() in out:
        problems.append("a key is in the log")
    authority = f"{KEYS[scene.provider][2]}:{scene.mock.port}"
    for connect in scene.squid.log():
        if (connect.status, connect.authority) != (200, authority):
            problems.append(f"Squid saw {connect}")
    return problems


def unknown_keys(scene: Scene) -> Problems:
    """A key that was forgotten in the environment has not come as far as the agent."""
    told = any(FORGOTTEN.encode() in bytes(line.up) for line in scene.tap.lines)
    return ["the agent had a key"] if told else []


def exactly(scene: Scene) -> Problems:
    """What the provider received is what the agent had sent, but for what we refused."""
    refusals = len(logged(scene, REFUSED))
    return differences(sent(scene), received(scene), refusals)


def clean(scene: Scene) -> Problems:
    """Nothing surprised apiproxy, and it ended well."""
    problems = []
    for line in scene.log_lines:
        if line["event"] == "exception" or "traceback" in line:
            problems.append(f"apiproxy logged {line}")
    return problems
