"""The matrix as a program of its own, where it has only loopback and its own processes."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.agents.matrix import Row
from tests.kit.case import LoopbackCase
from tests.kit.running import ROOT, Program, ProgramFailed, ran
from tests.kit.squid import squid_missing

_ALONE = ROOT / "scripts/agents-alone"


@functools.cache
def namespace_missing() -> str | None:
    """Why there cannot be a network namespace; None if there can."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "a network namespace needs unshare and ip; apt-get install iproute2"
    if subprocess.run([_ALONE, "true"], capture_output=True).returncode:
        return "a network namespace needs root, so the clients might reach the internet"
    return None


class AloneCase(LoopbackCase):
    """A test that runs somebody else's program where it cannot reach anybody."""

    timeout = 900
    skip = squid_missing() or namespace_missing()

    async def rows(self, client: str, scenario: str = "") -> list[Row]:
        """What became of a client.

        Args:
            client: a regular expression for its title.
            scenario: one for names of scenarios.
        """
        with tempfile.TemporaryDirectory(prefix="apiproxy-matrix-") as folder:
            file = Path(folder) / "rows.json"
            play = [sys.executable, "-m", "tests.agents", "--json", str(file)]
            options = ["--client", client, "--scenario", scenario]
            program = Program(self.reactor, [str(_ALONE), *play, *options])
            await ran(program)
            if not file.exists():
                raise ProgramFailed(program.words())
            return [Row(**row) for row in json.loads(file.read_text())]

    def all_well(self, rows: list[Row], *results: str) -> None:
        """See that each row ended so."""
        self.assertTrue(rows)
        for row in rows:
            self.assertIn(row.result, results or ("ok",), row)


def missing(path: Path, what: str) -> str | None:
    """Why a program cannot be run; None if it can."""
    if not os.access(path, os.X_OK):
        return f"{what} is not installed; make agents"
    if shutil.which("node") is None:
        return f"{what} needs node; apt-get install nodejs"
    return None
