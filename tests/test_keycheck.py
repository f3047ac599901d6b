"""Whether an operator learns at start which keys are refused."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import EgressDenied
from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.keycheck import KeyCheck
from apiproxy.providers.base import Credential, Probe, Provider
from apiproxy.providers.dialects import OpenAIDialect
from apiproxy.telemetry.lines import LineLog


class Answers:
    """A prober whose answers are given beforehand, by provider name."""

    def __init__(self, answers: dict[str, Deferred[int]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def ask(self, provider: Provider, probe: Probe) -> Deferred[int]:
        self.asked.append(f"{provider.name} {probe.method.decode()}")
        return self.answers[provider.name]


def provider(name: str, key: str | None = "sk", probe: bool = True) -> Provider:
    """A provider with or without a key, with or without a probe."""
    source = StaticSource(None if key is None else Secret(key.encode()))
    return Provider(
        name=name,
        title=name,
        port=1,
        host="api.example",
        dialect=OpenAIDialect(),
        credential=Credential(b"Authorization", b"Bearer ", source),
        probe=Probe(b"GET", b"/v1/models") if probe else None,
    )


class KeyCheckTests(SynchronousTestCase):
    def check(
        self, answers: dict[str, Deferred[int]], *providers: Provider
    ) -> tuple[KeyCheck, list[str], list[bytes]]:
        lines: list[bytes] = []
        log = LineLog(lines.append, level="info", now=lambda: 0.0)
        rejected: list[str] = []
        prober = Answers(answers)
        check = KeyCheck(log, prober, tunnelled=True)
        story = check.start(providers, lambda: rejected.append("rejected"))
        self.successResultOf(story)
        return check, rejected, lines

    def test_each_provider_gets_its_verdict(self) -> None:
        """An operator sees for each provider how its key was received."""
        check, rejected, lines = self.check(
            {
                "good": succeed(200),
                "empty": succeed(400),
                "odd": succeed(500),
                "bad": succeed(401),
                "denied": fail(EgressDenied()),
                "away": fail(ConnectionRefusedError()),
                "strange": fail(KeyError("x")),
            },
            *map(
                provider,
                ("good", "empty", "odd", "bad", "denied", "away", "strange"),
            ),
        )
        self.assertEqual(
            {name: one["status"] for name, one in check.results.items()},
            {
                "good": "valid",
                "empty": "valid",
                "odd": "inconclusive",
                "bad": "auth_rejected",
                "denied": "egress_denied",
                "away": "network_error",
                "strange": "network_error",
            },
        )
        self.assertIn("Squid", check.results["denied"]["message"])
        self.assertIn("HTTPS_PROXY", check.results["away"]["message"])
        self.assertEqual(check.results["strange"]["message"], "KeyError")
        self.assertEqual(rejected, ["rejected"])
        self.assertEqual(len(lines), 7)
        self.assertEqual(check.shown()["complete"], True)

    def test_who_has_no_key_is_not_asked(self) -> None:
        """A provider without a key, or at a host of one's own, is left in peace."""
        check, rejected, _ = self.check(
            {}, provider("none", key=None), provider("own", probe=False)
        )
        self.assertEqual(check.results["own"]["status"], "skipped")
        self.assertNotIn("none", check.results)
        self.assertEqual(rejected, [])

    def test_stopping_ends_it(self) -> None:
        """A process that stops does not wait for an answer."""
        log = LineLog(lambda line: None, level="info", now=lambda: 0.0)
        waiting: Deferred[int] = Deferred()
        check = KeyCheck(log, Answers({"slow": waiting}), tunnelled=False)
        story = check.start([provider("slow")], lambda: None)
        check.stop()
        self.failureResultOf(story)
        self.assertFalse(check.complete)
        self.assertEqual(check.results, {})
