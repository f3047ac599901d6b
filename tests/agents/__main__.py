"""``python -m tests.agents``: the clients that are installed, in all scenarios; the matrix.

Start it through ``scripts/agents``, which puts it into a network namespace that has nothing
but loopback. Exits with 1 if a row failed.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.agents.matrix import Row, into, text
from tests.agents.parts import play_sdk
from tests.agents.play import play
from tests.agents.programs import CLIS
from tests.agents.scenarios import SCENARIOS
from tests.agents.sdks import SDKS
from tests.kit.line import IReactor


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.agents")
    parser.add_argument("--client", default="", help="only titles with this expression")
    parser.add_argument("--scenario", default="", help="only scenarios with it")
    parser.add_argument("--json", type=Path, help="a file for the rows")
    parser.add_argument("--document", type=Path, help="a document for the matrix")
    return parser.parse_args()


async def main(reactor: IReactor, wanted: argparse.Namespace) -> None:
    """Play all of it."""
    rows: list[Row] = []
    for sdk in SDKS:
        if re.search(wanted.client, sdk.name):
            rows += await play_sdk(reactor, sdk, wanted.scenario, _tell)
    for cli in CLIS:
        if not re.search(wanted.client, cli.title):
            continue
        for scenario in SCENARIOS:
            if re.search(wanted.scenario, scenario.name) and scenario.holds_for(cli):
                rows.append(await play(reactor, cli, scenario))
                _tell(rows[-1])
    if wanted.json:
        wanted.json.write_text(json.dumps([row.json() for row in rows], indent=1))
    if wanted.document:
        wanted.document.write_text(into(wanted.document.read_text(), rows))
    print(text(rows))
    if not rows or any(row.result == "FAILED" for row in rows):
        raise SystemExit(1)


def _tell(row: Row) -> None:
    """Say how far it is."""
    print("\t".join(row.cells), file=sys.stderr, flush=True)


def run(wanted: argparse.Namespace) -> None:
    """Play all of it; what was interrupted has not gone well."""
    over = False

    async def story(reactor: IReactor) -> None:
        nonlocal over
        await main(reactor, wanted)
        over = True

    try:
        react(lambda reactor: Deferred.fromCoroutine(story(reactor)))
    except SystemExit as end:
        raise SystemExit(end.code or (0 if over else 130)) from None


if __name__ == "__main__":
    run(_arguments())
