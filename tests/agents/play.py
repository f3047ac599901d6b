"""One client in one scenario, from putting up the scene to the verdict."""

from tests.agents.evidence import tail
from tests.agents.holds import always, kept
from tests.agents.known import KNOWN, Knows
from tests.agents.matrix import Row
from tests.agents.programs import Cli, version
from tests.agents.scenarios import Scenario
from tests.agents.scene import Scene
from tests.kit.line import IReactor


async def play(reactor: IReactor, cli: Cli, scenario: Scenario) -> Row:
    """Put a CLI through a scenario."""
    known = KNOWN.get((cli.title, scenario.name)) or KNOWN.get(
        (cli.name, scenario.name)
    )
    if known is not None and known.check is None:
        return _row(cli, scenario, known, [], 0.0)
    scene = Scene(reactor, cli.provider, scenario.settings)
    scene.mock.tools_only = True
    scenario.stage(scene)
    try:
        await scene.start()
        launch = cli.prepare(scene.folder, scene.url, scenario.prompt)
        outcome = await scene.run(scenario.launch(launch), scenario.meanwhile)
        await scene.settle()
        check = scenario.check if known is None or known.check is None else known.check
        problems = check(scene, outcome) + always(scene)
        if scenario.steady:
            problems += kept(scene, outcome, cli.title)
        if outcome.hung:
            problems.append(f"it hung: {tail(outcome)}")
        return _row(cli, scenario, known, problems, outcome.seconds)
    finally:
        await scene.stop()


def _row(
    cli: Cli,
    scenario: Scenario,
    known: Knows | None,
    problems: list[str],
    seconds: float,
) -> Row:
    note = "; ".join(problems) or (known.why if known else "")
    if problems:
        result = "FAILED"
    elif known is None:
        result = "ok"
    else:
        result = "cannot" if known.check is None else "by design"
    who = (cli.name, version(cli.package), cli.transport)
    return Row(*who, scenario.name, result, seconds, note)  # type: ignore[arg-type]  # one of the four
