"""Tests of ``apiproxy.ledger.redis_scripts``; what they do is tested with the ledger."""

import hashlib

from attrs import asdict
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger.redis_scripts import Script, scripts
from apiproxy.ledger.rules import MOST, Bounds


class ScriptTests(SynchronousTestCase):
    def test_scripts_are_known_by_what_redis_calls_them(self) -> None:
        """The SHA-1 of their text, in hex."""
        script = Script("return 1")
        self.assertEqual(script.sha, hashlib.sha1(b"return 1").hexdigest())

    def test_bounds_are_in_the_scripts(self) -> None:
        """All of them keep the same ones, and no two scripts are the same."""
        made = asdict(scripts(Bounds(rows=11, keep=22, over=33)), recurse=False)
        for script in made.values():
            self.assertTrue(
                script.text.startswith(
                    f"local MOST, ROWS, KEEP, MANY = {MOST}, 11, 22, 33\n"
                )
            )
        self.assertEqual(len({script.sha for script in made.values()}), len(made))
