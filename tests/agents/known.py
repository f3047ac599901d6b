"""Where a client is known to end otherwise than a scenario wants, and why.

A client that mends its ways fails its row, so that this list does not outlive its reasons.
"""

from collections.abc import Mapping

from attrs import frozen

from tests.agents.evidence import Problems, tail
from tests.agents.scenarios import Check, no_socket
from tests.agents.scene import Outcome, Scene


@frozen
class Knows:
    """What is known of a client in a scenario.

    Attributes:
        why: for the matrix.
        check: what has to hold instead; None if it cannot be played at all.
    """

    why: str
    check: Check | None


def gives_up(scene: Scene, outcome: Outcome) -> Problems:
    """The agent fails at the first fault, and sends nothing more."""
    problems = []
    if not outcome.end.code:
        problems.append(f"it did not fail, as it used to: {tail(outcome)}")
    served = scene.mock.served
    if [fault for fault in served if fault] and served[-1] is None:
        problems.append(f"more requests after the fault: {served}")
    return problems


KNOWN: Mapping[tuple[str, str], Knows] = {
    ("gemini", "cut in mid-stream"): Knows(
        "a stream that breaks after some text ends Gemini CLI with an error", gives_up
    ),
    ("opencode", "websocket off"): Knows(
        "OpenCode tries the upgrade six times, for a minute, before it takes HTTP",
        no_socket,
    ),
}
"""By name or title of the client, and name of the scenario."""
