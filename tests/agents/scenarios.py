"""What every CLI is put through, and what has to come of it."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from apiproxy.core.errors import RateLimited, RunsExceeded
from apiproxy.providers.dialects import DIALECTS
from tests.agents.evidence import (
    Problems,
    logged,
    received,
    refused,
    says,
    sent,
    tail,
)
from tests.agents.exact import Sent
from tests.agents.mock.faults import Cut, Refusal
from tests.agents.mock.model import MARK
from tests.agents.programs import Cli, Launch
from tests.agents.scene import Meanwhile, Outcome, Scene
from tests.kit.running import ROOT

PROMPT = "Please say good morning."
TOOL_PROMPT = f"Please {MARK} and then say good morning."

SPENT = "The budget of this run is spent: 3 of 3 runs; ask whoever set AWF_MAX_RUNS."

SPENT_HERE = "Maximum LLM invocations exceeded (1 / 1)."
"""What apiproxy itself says with ``ONE_RUN``."""

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
    untitled = _titles(sent(scene)) - _titles(received(scene))
    if not 1 <= refused(scene) <= 1 + untitled:
        problems.append(f"{refused(scene)} requests were refused")
    return problems


def _titles(requests: Sequence[Sent]) -> int:
    """How many requests for a model offer no tools."""
    bodies = [json.loads(each.body) for each in requests if each.body[:1] == b"{"]
    return sum("model" in body and not body.get("tools") for body in bodies)


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
    answers = [each["status"] for each in logged(scene, "websocket_upgrade_rejected")]
    if not answers or set(answers) != {426}:
        problems.append(f"its upgrades were answered with {answers}")
    return problems


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


def of(names: Sequence[str]) -> list[Scenario]:
    """Those of these names, or all."""
    return [each for each in SCENARIOS if not names or each.name in names]
