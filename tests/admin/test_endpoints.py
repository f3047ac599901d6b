"""Which requests are answered locally."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.answer import LocalAnswer
from apiproxy.admin.endpoints import Shared, local_answers, management
from apiproxy.admin.health import ProviderHealth
from tests.admin.providers import provider


class Named:
    """An endpoint to tell from others."""

    def render(self, accept: bytes | None) -> LocalAnswer:
        """Nothing."""
        return LocalAnswer(200, b"text/plain", b"")


OPENAI = provider("openai", 10000)
GEMINI = provider("gemini", 10003)
SHARED = Shared(health=Named(), reflect=Named(), metrics=Named())


class LocalAnswersTests(SynchronousTestCase):
    """The routing rule."""

    def test_management_port(self) -> None:
        """One port has the aggregate health and the metrics."""
        self.assertEqual(
            local_answers(OPENAI, SHARED, manages=True),
            {
                b"/health": SHARED.health,
                b"/reflect": SHARED.reflect,
                b"/metrics": SHARED.metrics,
            },
        )

    def test_other_ports(self) -> None:
        """Other ports have the health of their provider, and no metrics."""
        self.assertEqual(
            local_answers(GEMINI, SHARED, manages=False),
            {b"/health": ProviderHealth(GEMINI), b"/reflect": SHARED.reflect},
        )

    def test_management_provider(self) -> None:
        """OpenAI if it listens, else the first that does."""
        deaf = provider("openai", None)
        self.assertIs(management([GEMINI, OPENAI]), OPENAI)
        self.assertIs(management([deaf, GEMINI]), GEMINI)
        self.assertIsNone(management([deaf]))
        self.assertIs(management([local := evolve(deaf, socket="/run/x")]), local)
        self.assertIsNone(management([]))
