"""``kill -9`` at random points of work on a SQLite ledger."""

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.kit.running import ROOT, plain_environment


class KillingTests(SynchronousTestCase):
    def test_nothing_that_was_acknowledged_is_lost(self) -> None:
        """In 100 rounds of one process or two on one file, each killed somewhere.

        The ledger has at least what was acknowledged and at most what was under way more,
        and nothing is reserved by those who are gone.
        """
        with tempfile.TemporaryDirectory(prefix="apiproxy-ledger-") as folder:
            ran = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.ledger.killing",
                    str(Path(folder) / "ledger.sqlite"),
                    "100",
                    "20",
                ],
                cwd=ROOT,
                env=plain_environment(),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        rounds, settles, presumed = map(int, ran.stdout.split())
        self.assertEqual(rounds, 100)
        self.assertGreater(settles, 100)
        self.assertGreater(presumed, 0)
