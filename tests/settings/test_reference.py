"""The reference of all settings."""

import re

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.table import BUILT_IN
from apiproxy.settings.options import OPTIONS
from apiproxy.settings.reference import reference


class ReferenceTests(SynchronousTestCase):
    def test_every_setting_has_a_row(self) -> None:
        """Nothing can be set that is not written down."""
        text = reference()
        for option in OPTIONS:
            for name in option.names:
                self.assertIn(f"`{name}`", text)
        for blueprint in BUILT_IN:
            self.assertIn(f"`APIPROXY_{blueprint.name.upper()}_PORT`", text)
            for variable in blueprint.variables:
                self.assertIn(f"`{variable.name}`", text)

    def test_rows_are_those_of_a_table(self) -> None:
        """Four columns everywhere, and no empty meaning."""
        for line in reference().splitlines():
            if line.startswith("|"):
                cells = line[1:-1].split("|")
                self.assertEqual(len(cells), 4, line)
                self.assertTrue(cells[3].strip(), line)

    def test_words_are_shown(self) -> None:
        """Where only a few will do, all of them."""
        row = next(x for x in reference().splitlines() if "VALIDATE_KEYS" in x)
        self.assertTrue(row.endswith(" `off`, `warn` or `strict`. |"), row)

    def test_defaults_are_shown(self) -> None:
        """As one would write them."""
        text = reference()
        self.assertIn("| `APIPROXY_MAX_BODY_BYTES` | `limits.body` | 32MiB |", text)
        self.assertTrue(re.search(r"`APIPROXY_VERTEX_PORT` .* \| 10005 \|", text))
        self.assertIn("| `OPENAI_API_KEY`, `OPENAI_API_KEY_FILE` |", text)
