"""What every provider does."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import Credential, Provider
from apiproxy.providers.dialects import OpenAIDialect

KEY = Credential(b"X-Key", b"Raw ", StaticSource(Secret(b"sesame")))


def provider(
    host: str = "api.example",
    host_port: int = 443,
    credential: Credential | None = KEY,
) -> Provider:
    return Provider(
        name="example",
        title="Example",
        port=1,
        host=host,
        host_port=host_port,
        dialect=OpenAIDialect(),
        credential=credential,
        settings=("EXAMPLE_KEY", "OTHER_KEY"),
        defaults=[(b"Example-Version", b"1")],
    )


class ProviderTests(SynchronousTestCase):
    def test_host_header_has_a_port_only_where_it_is_unusual(self) -> None:
        """Upstream sees the authority its own clients would send."""
        self.assertEqual(provider().authority, b"api.example")
        self.assertEqual(provider(host_port=8443).authority, b"api.example:8443")
        self.assertEqual(provider("::1").authority, b"[::1]")
        self.assertEqual(provider("::1", 8443).authority, b"[::1]:8443")

    def test_missing_key_is_named(self) -> None:
        """Who has set no key is told which variables would do."""
        empty = Credential(b"X-Key", b"", StaticSource(None))
        for credential in (None, empty):
            refusal = provider(credential=credential).not_configured()
            assert refusal is not None
            self.assertEqual(refusal.status, 403)
            self.assertIn("EXAMPLE_KEY or OTHER_KEY", refusal.message)
        self.assertIsNone(empty.field())
        self.assertIsNone(provider().not_configured())

    def test_credential_travels_in_its_header(self) -> None:
        """The line is made of name, scheme and secret; its repr shows none of it."""
        credential = provider().credential_for(b"GET", b"/x")
        assert credential is not None
        self.assertEqual(credential.field(), (b"X-Key", b"Raw sesame"))
        self.assertNotIn("sesame", repr(provider()))

    def test_secrets_can_be_listed_for_redaction(self) -> None:
        """Those that there are at the moment."""
        empty = Credential(b"X-Key", b"", StaticSource(None))
        self.assertEqual(provider().secrets, [Secret(b"sesame")])
        self.assertEqual(provider(credential=None).secrets, [])
        self.assertEqual(provider(credential=empty).secrets, [])

    def test_agent_cannot_fill_the_credentials_header(self) -> None:
        """A custom header for the key is a slot like any other."""
        self.assertEqual(provider().own_slots, {b"x-key"})
        self.assertEqual(provider(credential=None).own_slots, frozenset())

    def test_defaults_are_for_those_who_said_nothing(self) -> None:
        """A header the agent sent is left alone, in whatever case."""
        lines = [(b"EXAMPLE-VERSION", b"2")]
        self.assertEqual(provider().kept(lines), lines)
        self.assertEqual(provider().additions(b"GET", b"/", lines), [])
        added = provider().additions(b"GET", b"/", [(b"a", b"b")])
        self.assertEqual(added, [(b"Example-Version", b"1")])
        bare = evolve(provider(), defaults=[])
        self.assertEqual(bare.additions(b"GET", b"/", []), [])
