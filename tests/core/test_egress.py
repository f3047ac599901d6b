"""The egress proxy's address, and which hosts go around it."""

from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.egress import EgressProxy, NoProxy, split_url
from apiproxy.core.values import Secret


class EgressProxyTests(SynchronousTestCase):
    def test_address_is_read(self) -> None:
        """The forms that HTTPS_PROXY has in the wild are understood."""
        for text, host, port, tls in [
            ("http://squid:8080", "squid", 8080, False),
            ("http://squid", "squid", 3128, False),
            ("https://Proxy.Example/", "proxy.example", 443, True),
            ("squid:3128", "squid", 3128, False),
            ("http://[::1]:3128/", "::1", 3128, False),
            ("10.0.0.1", "10.0.0.1", 3128, False),
        ]:
            self.assertEqual(
                EgressProxy.parse(text), EgressProxy(host=host, port=port, tls=tls)
            )

    def test_user_and_password_become_basic_authorization(self) -> None:
        """Percent-escapes are undone, so any password can be written."""
        for user, value in [
            ("ada:p%40ss", b"Basic YWRhOnBAc3M="),
            ("ada", b"Basic YWRhOg=="),
            ("a:b:c", b"Basic YTpiOmM="),
            ("a:b@c", b"Basic YTpiQGM="),
        ]:
            proxy = EgressProxy.parse(f"http://{user}@squid")
            self.assertEqual(proxy.authorization, Secret(value))
            self.assertEqual(proxy.host, "squid")

    def test_password_is_not_shown(self) -> None:
        """Neither a proxy nor the parts of its URL print what they hold."""
        text = "http://ada:hunter2@squid"
        self.assertNotIn("hunter2", repr(EgressProxy.parse(text)))
        self.assertNotIn("hunter2", repr(split_url(text)))
        self.assertNotIn("YWRhOmh1bnRlcjI", repr(EgressProxy.parse(text)))

    def test_url_can_be_shown_to_anybody(self) -> None:
        """It is whole but for the user and password."""
        for text, shown in [
            ("http://ada:hunter2@squid", "http://squid:3128"),
            ("https://squid", "https://squid:443"),
            ("[::1]:80", "http://[::1]:80"),
        ]:
            self.assertEqual(EgressProxy.parse(text).shown, shown)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(password=strategies.text(min_size=1, max_size=20))
    def test_password_is_never_part_of_it(self, password: str) -> None:
        """Whatever a password is made of, the URL is shown without it, or refused."""
        try:
            proxy = EgressProxy.parse(f"http://user:Zq{password}qZ@squid:3128")
        except ValueError as error:
            self.assertNotIn(f"Zq{password}", str(error))
        else:
            self.assertEqual(proxy.shown, "http://squid:3128")

    def test_nonsense_is_refused_without_repeating_it(self) -> None:
        """The message says what is expected; the value may be a secret."""
        for text in [
            *("socks5://hunter2", "http://hunter2:0", "http://hunter2:99999"),
            *("http://hunter2:x", "http://hunter2/path", "http://hunter2?x"),
            *("http://[hunter2]", "http://[::1::2]:1", "http://hunter2 x", "http://"),
            *("http://hunter2..x", "http://-hunter2", f"http://{'hunter2.' * 40}x"),
        ]:
            error = self.assertRaises(ValueError, EgressProxy.parse, text)
            self.assertNotIn("hunter2", str(error))


class NoProxyTests(SynchronousTestCase):
    def test_hosts_go_around_the_proxy(self) -> None:
        """Each form of an entry matches what it says and no more."""
        for text, host, port, expected in [
            ("", "a.example", 443, False),
            ("*", "a.example", 443, True),
            ("a.example", "a.example", 443, True),
            ("A.Example", "a.eXample", 443, True),
            ("example", "a.example", 443, True),
            ("ample", "a.example", 443, False),
            (".example", "a.example", 443, True),
            ("*.example", "a.example", 443, True),
            (".a.example", "a.example", 443, False),
            ("x, a.example y", "a.example", 443, True),
            ("a.example:8443", "a.example", 8443, True),
            ("a.example:8443", "a.example", 443, False),
            ("10.0.0.0/8", "10.1.2.3", 443, True),
            ("10.0.0.0/8", "11.1.2.3", 443, False),
            ("10.0.0.0/8", "ten.example", 443, False),
            ("10.1.2.3", "10.1.2.3", 443, True),
            ("10.1.2.3:80", "10.1.2.3", 443, False),
            ("10.1.2.3:80", "10.1.2.3", 80, True),
            ("2.3", "10.1.2.3", 443, False),
            ("::1", "::1", 443, True),
            ("[::1]", "::1", 443, True),
            ("[::1]:443", "::1", 443, True),
            ("[0::1]:443", "::1", 443, True),
            ("fd00::/8", "fd00::1", 443, True),
        ]:
            bypasses = NoProxy.parse(text).bypasses(host, port)
            self.assertEqual(bypasses, expected, f"{text} {host}:{port}")

    def test_entry_that_is_no_host_is_refused(self) -> None:
        """A typing error does not silently send traffic the other way."""
        for text in ("http://a.example", "a/b", "a:b"):
            self.assertRaises(ValueError, NoProxy.parse, text)
