"""What every CLI is put through, and what has to come of it."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from apiproxy.cli.recipes import PLACEHOLDER
from apiproxy.core.errors import RateLimited, RunsExceeded
from apiproxy.providers.dialects import DIALECTS
from tests.agents.exact import Sent, differences, read
from tests.agents.mock.faults import Cut, Refusal
from tests.agents.mock.model import MARK
from tests.agents.programs import FORGOTTEN, Cli, Launch
from tests.agents.scene import KEYS, Meanwhile, Outcome, Scene, real_key
from tests.kit.running import ROOT

PROMPT = "Please say good morning."
TOOL_PROMPT = f"Please {MARK} and then say good morning."

SPENT = "The budget of this run is spent: 3 of 3 runs; ask whoever set AWF_MAX_RUNS."

SPENT_HERE = "Maximum LLM invocations exceeded (1 / 1)."
"""What apiproxy itself says with ``ONE_RUN``."""

REFUSED = "max_runs_exceeded"
"""The line in the log about each request beyond the budget of runs."""

ONE_RUN = {"AWF_MAX_RUNS": "1"}
"""The settings of a budget of one answered request."""

_MADE = "made-by-the-agent"
_PIECES = tuple(f"line {n} of a long answer, which goes on. " for n in range(1, 1501))


def spent(provider: str) -> Refusal:
    """The refusal of a spent budget, byte for byte as apiproxy says it.

    It comes from the mock, so that scenarios hold whatever sets a budget.
    """
    body = json.loads(DIALECTS[provider].render(RunsExceeded(SPENT), "req-1"))
    fields = (
        (b"x-apiproxy-error", b"max_runs_exceeded"),
        (b"x-should-retry", b"false"),
    )
    return Refusal(400, body, fields)


def busy(provider: str) -> Refusal:
    """The provider's own 429, with the time to wait."""
    body = json.loads(DIALECTS[provider].render(RateLimited("Slow down."), "req-1"))
    return Refusal(429, body, ((b"retry-after", b"1"),))


Problems = list[str]
Check = Callable[[Scene, Outcome], Problems]
Stage = Callable[[Scene], None]


@frozen
class Scenario:
    """A scenario.

    Attributes:
        name: for the matrix.
        prompt: for the agent.
        stage: prepares the scene.
        check: finds what is wrong.
        meanwhile: done while the agent runs.
        settings: more of apiproxy's.
        steady: whether the agent has to keep to its transport.
        launch: how else than with its prompt the agent is run.
        transports: a regular expression for the titles of those it is for.
    """

    name: str
    prompt: str
    stage: Stage
    check: Check
    meanwhile: Meanwhile | None = None
    settings: Mapping[str, str] = field(factory=dict)
    transports: str = ""
    steady: bool = False
    launch: Callable[[Launch], Launch] = lambda launch: launch

    def holds_for(self, cli: Cli) -> bool:
        """Whether a client is put through it."""
        wanted = re.search(self.transports, cli.title) is not None
        return wanted and re.search(cli.scenarios, self.name) is not None


def told(outcome: Outcome) -> str:
    """All that a client has printed, without what the terminal's width does to it."""
    return _squeezed(outcome.end.out + outcome.end.err)


def _squeezed(text: str) -> str:
    """Without white space, and without the quotes' backslashes of JSON in JSON."""
    return re.sub(r"[\s\\]+", "", text)


def says(outcome: Outcome, text: str) -> bool:
    """Whether a client has printed this."""
    return _squeezed(text) in told(outcome)


def as_it_is(scene: Scene) -> None:
    """As it is."""


def answered(scene: Scene, outcome: Outcome) -> Problems:
    """The agent ended well, and printed the answer."""
    problems = []
    if outcome.end.code:
        problems.append(f"exit code {outcome.end.code}: {tail(outcome)}")
    elif not says(outcome, scene.mock.model.text):
        problems.append(f"the answer was not printed: {tail(outcome)}")
    return problems


def tail(outcome: Outcome) -> str:
    """The end of what a client has printed."""
    return " ".join((outcome.end.out[-400:] + " | " + outcome.end.err[-400:]).split())


def _uses_shell(scene: Scene) -> None:
    scene.mock.model.command = rf"expr 6 \* 7 > {_MADE} && cat {_MADE}"


def used_shell(scene: Scene, outcome: Outcome) -> Problems:
    """The command was run, and the model told of what came of it."""
    problems = answered(scene, outcome)
    made = scene.work / _MADE
    if not made.exists() or made.read_text() != "42\n":
        problems.append(f"the command was not run: {tail(outcome)}")
    if not any("42" in result for result in scene.mock.model.results):
        problems.append(f"the output did not come back: {scene.mock.model.results}")
    return problems


def _long(scene: Scene) -> None:
    scene.mock.model.words = _PIECES


def _refused(scene: Scene) -> None:
    _uses_shell(scene)
    scene.mock.faults = [None]
    scene.mock.forever = spent(scene.provider)


def stopped(scene: Scene, outcome: Outcome) -> Problems:
    """The agent ended at once: it failed, said why, and sent nothing more."""
    problems = []
    if not outcome.end.code:
        problems.append("exit code 0 in spite of a refusal")
    if not says(outcome, SPENT):
        problems.append(f"our message was not printed: {tail(outcome)}")
    served = scene.mock.served
    first = next((n for n, fault in enumerate(served) if fault is not None), None)
    if first is None:
        problems.append("nothing was refused")
    elif len(served) > first + 1:
        problems.append(f"{len(served) - first - 1} more requests after the refusal")
    return problems


def held_to_budget(scene: Scene, outcome: Outcome) -> Problems:
    """One run was answered; what came then was refused by us, and nothing came after.

    A title, which OpenCode asks for at the same time, may be refused beside it.
    """
    problems = []
    if not outcome.end.code:
        problems.append("exit code 0 in spite of a refusal")
    if not says(outcome, SPENT_HERE):
        problems.append(f"our message was not printed: {tail(outcome)}")
    untitled = _titles(_sent(scene)) - _titles(_received(scene))
    if not 1 <= refused(scene) <= 1 + untitled:
        problems.append(f"{refused(scene)} requests were refused")
    return problems


def _titles(requests: Sequence[Sent]) -> int:
    """How many requests for a model offer no tools."""
    bodies = [json.loads(each.body) for each in requests if each.body[:1] == b"{"]
    return sum("model" in body and not body.get("tools") for body in bodies)


def refused(scene: Scene) -> int:
    """How many requests were refused, by the mock or by us."""
    by_mock = sum(fault is not None for fault in scene.mock.served)
    return by_mock + len(_logged(scene, REFUSED))


def _once_busy(scene: Scene) -> None:
    scene.mock.faults = [busy(scene.provider)]


def _once_cut(scene: Scene) -> None:
    scene.mock.faults = [Cut(200)]


def recovered(scene: Scene, outcome: Outcome) -> Problems:
    """What went wrong once did so, and the agent got its answer all the same."""
    problems = answered(scene, outcome)
    if scene.mock.faults:
        problems.append("nothing went wrong")
    return problems


def _waits(scene: Scene) -> None:
    scene.mock.model.command = (
        "touch begun; while ! test -e go; do sleep 0.2; done; cat go"
    )


async def restart(scene: Scene) -> None:
    """End apiproxy, and start it anew, while the client waits for a file."""
    await scene.until((scene.work / "begun").exists)
    await scene.restart()
    (scene.work / "go.tmp").write_text("restarted\n")
    (scene.work / "go.tmp").rename(scene.work / "go")


def outlived(scene: Scene, outcome: Outcome) -> Problems:
    """The agent has not minded that apiproxy was another one in its second turn."""
    problems = answered(scene, outcome)
    if not any("restarted" in result for result in scene.mock.model.results):
        problems.append(f"the second turn did not come: {scene.mock.model.results}")
    return problems


def no_socket(scene: Scene, outcome: Outcome) -> Problems:
    """The agent took HTTP at once, and the provider saw no upgrade."""
    problems = answered(scene, outcome)
    if any(request.upgrade for request in scene.mock.requests):
        problems.append("an upgrade reached the provider")
    if says(outcome, "Reconnecting"):
        problems.append("the agent tried to reconnect")
    refused = [each["status"] for each in _logged(scene, "websocket_upgrade_rejected")]
    if not refused or set(refused) != {426}:
        problems.append(f"its upgrades were answered with {refused}")
    return problems


def _logged(scene: Scene, event: str) -> list[dict[str, Any]]:
    return [line for line in scene.log_lines if line["event"] == event]


def _session(launch: Launch) -> Launch:
    """Two turns in one session; only Codex has a way for that without a terminal."""
    program = [sys.executable, "-m", "tests.agents.codex_session", launch.arguments[0]]
    environ = {**launch.environ, "PYTHONPATH": str(ROOT)}
    return Launch([*program, PROMPT, PROMPT], environ)


def one_socket(scene: Scene, outcome: Outcome) -> Problems:
    """Both turns were answered, on one WebSocket, and nothing was asked beside it."""
    problems = answered(scene, outcome)
    if outcome.end.out.splitlines() != [scene.mock.model.text] * 2:
        problems.append(f"it said {outcome.end.out!r}")
    upgrades = [request.upgrade for request in scene.mock.requests]
    if upgrades != [True]:
        problems.append(f"the provider saw {scene.mock.requests}")
    asked = [each.transport for each in scene.mock.model.asked]
    if asked != ["websocket"] * 2:
        problems.append(f"the model was asked by {asked}")
    return problems


SCENARIOS = (
    Scenario("plain turn", PROMPT, as_it_is, answered, steady=True),
    Scenario("tool call", TOOL_PROMPT, _uses_shell, used_shell, steady=True),
    Scenario("long answer", PROMPT, _long, answered, steady=True),
    Scenario("budget refused", TOOL_PROMPT, _refused, stopped, steady=True),
    Scenario(
        "budget of ours spent",
        TOOL_PROMPT,
        _uses_shell,
        held_to_budget,
        settings=ONE_RUN,
    ),
    Scenario("429 then success", PROMPT, _once_busy, recovered),
    Scenario("cut in mid-stream", PROMPT, _once_cut, recovered),
    Scenario("restart between turns", TOOL_PROMPT, _waits, outlived, restart),
    Scenario(
        "two turns on one websocket",
        PROMPT,
        as_it_is,
        one_socket,
        transports="^codex responses websocket",
        steady=True,
        launch=_session,
    ),
    Scenario(
        "websocket off",
        PROMPT,
        as_it_is,
        no_socket,
        settings={"APIPROXY_WEBSOCKET": "off"},
        transports="websocket",
    ),
)


# What holds in all of them.


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
    if [line["status"] for line in _logged(scene, "websocket_upgrade_complete")] != [
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
    refusals = len(_logged(scene, REFUSED))
    return differences(_sent(scene), _received(scene), refusals)


def _sent(scene: Scene) -> list[Sent]:
    """The agent's requests."""
    found: list[Sent] = []
    for tapped in scene.tap.lines:
        found += read(bytes(tapped.up), b"HTTP/1.1 101 " in tapped.down)
    return found


def _received(scene: Scene) -> list[Sent]:
    """The provider's."""
    found: list[Sent] = []
    for raw, upgraded in scene.mock.raw:
        found += read(raw, upgraded)
    return found


def clean(scene: Scene) -> Problems:
    """Nothing surprised apiproxy, and it ended well."""
    problems = []
    for line in scene.log_lines:
        if line["event"] == "exception" or "traceback" in line:
            problems.append(f"apiproxy logged {line}")
    return problems


def of(names: Sequence[str]) -> list[Scenario]:
    """Those of these names, or all."""
    return [each for each in SCENARIOS if not names or each.name in names]
