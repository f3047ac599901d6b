"""One row of the table of settings."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.kinds import PATH
from apiproxy.settings.option import Option


class OptionTests(SynchronousTestCase):
    def test_the_file_may_set_it(self) -> None:
        """Unless the row says that only the environment may."""
        row = Option(("APIPROXY_X",), "x", PATH, None, "An example.")
        self.assertTrue(row.toml)
