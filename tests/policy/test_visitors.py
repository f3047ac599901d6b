"""Web pages and agents are told apart by what browsers say."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import HostRefused, OriginRefused, ProxyError
from apiproxy.policy.visitors import Visitors, parse_host, parse_origin


def refusal(visitors: Visitors, **lines: str) -> ProxyError | None:
    """What becomes of a request with these lines (``_`` for ``-``)."""
    special = {
        name.replace("_", "-").encode(): [value.encode("latin-1")]
        for name, value in lines.items()
    }
    return visitors.refusal(special)


class HostTests(SynchronousTestCase):
    """The name in ``Host``."""

    def test_names_that_nobody_else_can_own(self) -> None:
        """The loopback's, and any address, with a port or without."""
        visitors = Visitors()
        for host in (
            "localhost",
            "LOCALHOST:10000",
            "localhost.",
            "openai.localhost",
            "127.0.0.1:10000",
            "10.1.2.3",
            "[::1]:10000",
            "[fd00::5]",
            "127.0.0.1:",
        ):
            self.assertIsNone(refusal(visitors, host=host), host)
        self.assertIsNone(visitors.refusal({}))

    def test_names_that_a_page_may_have(self) -> None:
        """Whatever it looks like."""
        visitors = Visitors(["apiproxy"])
        for host in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io:10000",
            "evil-localhost",
            "",
            "[::1",
            "::1",
            "1.2.3",
            "0x7f.1",
            "apiproxy.evil.example",
            "evil.apiproxy",
            "apiproxy, evil.example",
            "localhost:10000:1",
            "local\xe9host",
        ):
            self.assertIsInstance(refusal(visitors, host=host), HostRefused, host)

    def test_names_that_are_listed(self) -> None:
        """Exactly, or all below; or any."""
        visitors = Visitors([parse_host("apiproxy"), parse_host("*.Svc.Cluster.Local")])
        for host in ("apiproxy:10000", "APIPROXY.", "a.b.svc.cluster.local"):
            self.assertIsNone(refusal(visitors, host=host), host)
        self.assertIsNotNone(refusal(visitors, host="svc.cluster.local"))
        self.assertIsNone(refusal(Visitors(["*"]), host="evil.example"))

    def test_every_line_counts(self) -> None:
        """There can be only one, but this does not rely on it."""
        hosts = {b"host": [b"localhost", b"evil.example"]}
        self.assertIsInstance(Visitors().refusal(hosts), HostRefused)

    def test_repr(self) -> None:
        """For the log of a bug."""
        self.assertEqual(repr(Visitors(["a"])), "<Visitors 1 hosts, 0 origins>")


class OriginTests(SynchronousTestCase):
    """The page behind a request."""

    def test_pages_are_refused(self) -> None:
        """All of them, the nameless and our own host's, too."""
        for origin in ("https://evil.example", "null", "http://localhost:10000", ""):
            error = refusal(Visitors(), host="localhost", origin=origin)
            self.assertIsInstance(error, OriginRefused, origin)

    def test_listed_pages_may(self) -> None:
        """Scheme, name and port."""
        visitors = Visitors(origins=[parse_origin("https://App.example:8443/")])
        self.assertIsNone(refusal(visitors, origin="https://app.example:8443"))
        for origin in ("https://app.example", "http://app.example:8443"):
            self.assertIsNotNone(refusal(visitors, origin=origin))
        both = {b"origin": [b"https://app.example:8443", b"https://evil.example"]}
        self.assertIsNotNone(visitors.refusal(both))
        self.assertIsNone(refusal(Visitors(origins=["*"]), origin="https://evil"))

    def test_requests_without_an_origin(self) -> None:
        """A picture in a page has none, but the browser says where the page is."""
        for site in ("cross-site", "Same-Site"):
            error = refusal(Visitors(), sec_fetch_site=site)
            self.assertIsInstance(error, OriginRefused)
        for site in ("none", "same-origin"):
            self.assertIsNone(refusal(Visitors(), sec_fetch_site=site))
        self.assertIsNone(refusal(Visitors(origins=["*"]), sec_fetch_site="cross-site"))
        listed = Visitors(origins=["https://a.example"])
        self.assertIsNone(
            refusal(listed, origin="https://a.example", sec_fetch_site="cross-site")
        )


class ParsingTests(SynchronousTestCase):
    """The two lists."""

    def test_hosts(self) -> None:
        """In one spelling."""
        texts = ("ApiProxy", "*.a.example", ".a.example", "*", "a.example.")
        self.assertEqual(
            [parse_host(text) for text in texts],
            ["apiproxy", ".a.example", ".a.example", "*", "a.example"],
        )
        for text in ("http://a", "a:1", "a b", "-", "a/b", "*a"):
            self.assertRaises(ValueError, parse_host, text)

    def test_origins(self) -> None:
        """In one spelling."""
        texts = ("HTTPS://A.example/", "null", "*", "vscode-file://vscode-app")
        self.assertEqual(
            [parse_origin(text) for text in texts],
            ["https://a.example", "null", "*", "vscode-file://vscode-app"],
        )
        for text in ("a.example", "https://a/b", "https://u@a", "https://"):
            self.assertRaises(ValueError, parse_origin, text)
