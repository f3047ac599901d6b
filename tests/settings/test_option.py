<<<<<<< HEAD
"""One row of the table of settings."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.kinds import PATH
=======
"""Tests of ``apiproxy.settings.option``."""

from attrs import exceptions
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.kinds import count
>>>>>>> 01c62a797e485ac73a3e9e5c0de178e386a9b321
from apiproxy.settings.option import Option


class OptionTests(SynchronousTestCase):
<<<<<<< HEAD
    def test_the_file_may_set_it(self) -> None:
        """Unless the row says that only the environment may."""
        row = Option(("APIPROXY_X",), "x", PATH, None, "An example.")
        self.assertTrue(row.toml)
=======
    def test_a_row_stays_as_it_is(self) -> None:
        """And may be set in the file unless it says otherwise."""
        option = Option(("A",), "a.b", count(1), 5, "What it means.")
        self.assertTrue(option.toml)
        with self.assertRaises(exceptions.FrozenInstanceError):
            option.key = "other"  # type: ignore[misc]
>>>>>>> 01c62a797e485ac73a3e9e5c0de178e386a9b321
