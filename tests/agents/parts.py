"""What is tried with each SDK, and how it went: what it is for, and what may go wrong."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from tests.agents.evidence import REFUSED, Problems, tail
from tests.agents.holds import always
from tests.agents.matrix import Row
from tests.agents.mock.faults import Cut
from tests.agents.scenarios import ONE_RUN, SPENT_HERE, as_it_is, busy, restart
from tests.agents.scene import Meanwhile, Scene
from tests.agents.sdks import TEXT, Sdk
from tests.kit.line import IReactor

Verdict = Callable[[Scene, Any], Problems]


@frozen
class Part:
    """One thing an SDK does.

    Attributes:
        name: for the matrix.
        turn: of its program.
        verdict: finds what is wrong with what it printed.
        stage: prepares the scene.
        meanwhile: done while it runs.
        settings: more of apiproxy's, which for these is another one.
        by_exec: whether ``apiproxy exec`` runs it.
    """

    name: str
    turn: str
    verdict: Verdict
    stage: Callable[[Scene], None] = as_it_is
    meanwhile: Meanwhile | None = None
    settings: Mapping[str, str] = field(factory=dict)
    by_exec: bool = False

    @property
    def usual(self) -> bool:
        """Whether nothing goes wrong in it."""
        unusual = self.meanwhile or self.settings or self.by_exec
        return self.stage is as_it_is and not unusual

    @property
    def in_socket(self) -> bool:
        """Whether it is on a WebSocket."""
        return re.search("connect|realtime|live", self.turn) is not None


def parts(sdk: Sdk) -> Iterator[Part]:
    """Everything that is tried with an SDK."""
    for turn, wanted in sdk.turns.items():
        yield Part(turn, turn, _equals(wanted))
    yield Part("by exec", sdk.plain, _equals(sdk.turns[sdk.plain]), by_exec=True)
    name = "429 then success"
    plain = sdk.turns[sdk.plain]
    if sdk.waits:
        yield Part(name, sdk.plain, _equals(plain), _is_busy)
    else:
        yield Part(name, "failing", _gave_up, _is_busy)
    yield Part("cut in mid-stream", sdk.cut, _raises, _cuts)
    yield Part("restart between turns", "twice", _both, meanwhile=restart)
    for turn in sdk.spends:
        name = f"budget of ours spent in {turn}"
        yield Part(name, f"spent_{turn}", _held_to_budget, settings=ONE_RUN)


def _equals(wanted: Any) -> Verdict:
    def verdict(scene: Scene, seen: Any) -> Problems:
        if wanted is ...:
            return [] if TEXT in json.dumps(seen) else [f"it saw {seen!r}"]
        return [] if seen == wanted else [f"it saw {seen!r}"]

    return verdict


def _both(scene: Scene, seen: Any) -> Problems:
    good = len(seen) == 2 and all(TEXT in str(each) for each in seen)
    return [] if good else [f"it saw {seen!r}"]


def _is_busy(scene: Scene) -> None:
    scene.mock.faults = [busy(scene.provider)]


def _cuts(scene: Scene) -> None:
    scene.mock.forever = Cut(400)


def _gave_up(scene: Scene, seen: Any) -> Problems:
    problems = []
    if not seen or seen["status"] != 429:
        problems.append(f"it raised {seen}")
    if len(scene.mock.served) != 1:
        problems.append(f"{len(scene.mock.served)} requests")
    return problems


def _held_to_budget(scene: Scene, seen: Any) -> Problems:
    """The first was answered, the second refused by us; the SDK raised that, and was quiet."""
    first, raised = seen
    problems = []
    if TEXT not in json.dumps(first) and "".join(first) != TEXT:
        problems.append(f"the first was {first!r}")
    if SPENT_HERE not in json.dumps(raised):
        problems.append(f"our message was not raised: {raised}")
    refused = [line for line in scene.service.lines if line["event"] == REFUSED]
    if len(refused) != 1:
        problems.append(f"{len(refused)} requests were refused")
    if len(scene.mock.model.asked) != 1:
        problems.append(f"the model was asked {len(scene.mock.model.asked)} times")
    return problems


def _raises(scene: Scene, seen: Any) -> Problems:
    raised = seen[-1] if isinstance(seen, list) else seen
    return [] if raised else ["half an answer looked whole"]


async def play_sdk(
    reactor: IReactor, sdk: Sdk, wanted: str = "", tell: Callable[[Row], None] = print
) -> list[Row]:
    """Put an SDK through all parts, or those that hold an expression, in one scene.

    Args:
        reactor: the real one.
        sdk: the SDK.
        wanted: the expression, for names of parts.
        tell: told of each row as it comes.
    """
    scene = Scene(reactor, sdk.provider)
    rows = []
    try:
        await scene.start()
        for group in _groups([p for p in parts(sdk) if re.search(wanted, p.name)]):
            for row in await _play(scene, sdk, group):
                rows.append(row)
                tell(row)
        if rows:
            await scene.settle()
            whole = Part("isolation and byte exactness", "", _equals(None))
            rows.append(_row(sdk, whole, always(scene), 0.0))
            tell(rows[-1])
    finally:
        await scene.stop()
    return rows


def _groups(wanted: Sequence[Part]) -> list[Sequence[Part]]:
    """Parts that share a process: those for which nothing goes wrong. A start takes time."""
    usual = [part for part in wanted if part.usual]
    other = [[part] for part in wanted if not part.usual]
    return [usual, *other] if usual else [*other]


async def _play(scene: Scene, sdk: Sdk, group: Sequence[Part]) -> list[Row]:
    """Run a group; its time is shared alike."""
    scene.again()
    if group[0].settings:
        await scene.restart(group[0].settings)
    for part in group:
        part.stage(scene)
    turns = ",".join(part.turn for part in group)
    launch = sdk.launch(turns, scene.url, by_exec=group[0].by_exec)
    outcome = await scene.run(launch, group[0].meanwhile)
    if group[0].settings:
        await scene.service.stop()  # and all of its log is here
    told = outcome.end.out.splitlines()
    seconds = outcome.seconds / len(group)
    rows = []
    for n, part in enumerate(group):
        if n < len(told):
            problems = part.verdict(scene, json.loads(told[n]))
        else:
            problems = [f"exit code {outcome.end.code}: {tail(outcome)}"]
        rows.append(_row(sdk, part, problems, seconds))
    return rows


_GIVES_UP = "it does not retry unless it is told to"


def _row(sdk: Sdk, part: Part, problems: Problems, seconds: float) -> Row:
    design = part.verdict is _gave_up
    known = _GIVES_UP if design else sdk.notes.get(part.turn, "")
    note = "; ".join(problems) or known
    result: Any = "FAILED" if problems else "by design" if design else "ok"
    transport = "websocket" if part.in_socket else "http"
    return Row(sdk.name, sdk.version, transport, part.name, result, seconds, note)
