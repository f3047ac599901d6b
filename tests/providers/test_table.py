"""The providers that are there without being configured."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.table import BUILT_IN


class TableTests(SynchronousTestCase):
    def test_ports_are_those_agents_know(self) -> None:
        """Which provider answers on which port is a promise."""
        self.assertEqual(
            {blueprint.name: blueprint.port for blueprint in BUILT_IN},
            {
                "openai": 10000,
                "anthropic": 10001,
                "copilot": 10002,
                "gemini": 10003,
                "opencode": 10004,
                "vertex": 10005,
            },
        )

    def test_every_setting_is_described(self) -> None:
        """The reference has a line about each."""
        for blueprint in BUILT_IN:
            for variable in blueprint.variables:
                self.assertTrue(variable.doc.endswith("."), variable.name)
