"""What is left of a scene, to judge it by: words, log lines, and requests on both sides."""

import re
from typing import Any

from tests.agents.exact import Sent, read
from tests.agents.scene import Outcome, Scene

Problems = list[str]
"""What was wrong, in words; empty if nothing."""

REFUSED = "max_runs_exceeded"
"""The line in the log about each request beyond the budget of runs."""


def told(outcome: Outcome) -> str:
    """All that a client has printed, without what the terminal's width does to it."""
    return _squeezed(outcome.end.out + outcome.end.err)


def _squeezed(text: str) -> str:
    """Without white space, and without the quotes' backslashes of JSON in JSON."""
    return re.sub(r"[\s\\]+", "", text)


def says(outcome: Outcome, text: str) -> bool:
    """Whether a client has printed this."""
    return _squeezed(text) in told(outcome)


def tail(outcome: Outcome) -> str:
    """The end of what a client has printed."""
    return " ".join((outcome.end.out[-400:] + " | " + outcome.end.err[-400:]).split())


def logged(scene: Scene, event: str) -> list[dict[str, Any]]:
    """The lines of an event in apiproxy's log."""
    return [line for line in scene.log_lines if line["event"] == event]


def refused(scene: Scene) -> int:
    """How many requests were refused, by the mock or by us."""
    by_mock = sum(fault is not None for fault in scene.mock.served)
    return by_mock + len(logged(scene, REFUSED))


def sent(scene: Scene) -> list[Sent]:
    """The agent's requests."""
    found: list[Sent] = []
    for tapped in scene.tap.lines:
        found += read(bytes(tapped.up), b"HTTP/1.1 101 " in tapped.down)
    return found


def received(scene: Scene) -> list[Sent]:
    """The provider's."""
    found: list[Sent] = []
    for raw, upgraded in scene.mock.raw:
        found += read(raw, upgraded)
    return found
