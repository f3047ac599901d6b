"""What the control socket is made of."""

from twisted.trial.unittest import SynchronousTestCase

from tests.admin.control.parts import Service


class SourcesTests(SynchronousTestCase):
    def test_functions(self) -> None:
        """They are asked each time, so that what is shown is of that moment."""
        service = Service()
        self.assertEqual(service.sources.standings(), service.standings)
        service.standings = []
        self.assertEqual(service.sources.standings(), [])
