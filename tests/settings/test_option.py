"""Tests of ``apiproxy.settings.option``."""

from attrs import exceptions
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.kinds import count
from apiproxy.settings.option import Option


class OptionTests(SynchronousTestCase):
    def test_a_row_stays_as_it_is(self) -> None:
        """And may be set in the file unless it says otherwise."""
        option = Option(("A",), "a.b", count(1), 5, "What it means.")
        self.assertTrue(option.toml)
        with self.assertRaises(exceptions.FrozenInstanceError):
            option.key = "other"  # type: ignore[misc]
