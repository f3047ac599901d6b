"""Where a client is known to end otherwise than a scenario wants, and why.

A client that mends its ways fails its row, so that this list does not outlive its reasons.
"""

from collections.abc import Mapping

from attrs import frozen

from tests.agents.evidence import Problems, refused, says, tail
from tests.agents.scenarios import SPENT, SPENT_HERE, Check, no_socket
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


def tries_without(scene: Scene, outcome: Outcome) -> Problems:
    """The agent asks twice more, each time without a feature, and then fails and says why."""
    problems = []
    if not outcome.end.code:
        problems.append("exit code 0 in spite of a refusal")
    if not (says(outcome, SPENT) or says(outcome, SPENT_HERE)):
        problems.append(f"our message was not printed: {tail(outcome)}")
    if refused(scene) != 3:
        problems.append(f"{refused(scene)} requests were refused, and not 3 as usual")
    return problems


_WITHOUT = Knows(
    "at a 400 Claude Code asks twice more, each time without a feature that may be too new",
    tries_without,
)

KNOWN: Mapping[tuple[str, str], Knows] = {
    ("claude", "budget refused"): _WITHOUT,
    ("claude", "budget of ours spent"): _WITHOUT,
    ("gemini", "cut in mid-stream"): Knows(
        "a stream that breaks after some text ends Gemini CLI with an error", gives_up
    ),
    ("opencode", "websocket off"): Knows(
        "OpenCode tries the upgrade six times, for a minute, before it takes HTTP",
        no_socket,
    ),
}
"""By name or title of the client, and name of the scenario."""
