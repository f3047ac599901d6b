"""Targets, base paths and header names: what is understood, and what is refused."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.blueprint import (
    Given,
    Text,
    Upstream,
    Variable,
    parse_base_path,
    parse_header_name,
    parse_header_value,
    parse_target,
)


def given(text: str) -> Given:
    return Given(new_id=lambda: "id", texts={"X": Text(text, "providers.x.y")})


class TargetTests(SynchronousTestCase):
    def test_host_port_and_path_are_found(self) -> None:
        """A target may be a host, a host and port, or a URL."""
        for text, expected in [
            ("https://api.example.com", Upstream("api.example.com")),
            ("API.Example.com:8443", Upstream("api.example.com", 8443)),
            ("https://h.example:8443/v1/", Upstream("h.example", 8443, "/v1/")),
            ("[::1]:80", Upstream("::1", 80)),
            ("[0:0::1]", Upstream("::1")),
            (" h.example ", Upstream("h.example")),
            ("user:pw@h.example", Upstream("h.example", extras=True)),
            (
                "HTTPS://API.Example.com:8443/v1/?q#f",
                Upstream("api.example.com", 8443, "/v1/", extras=True),
            ),
        ]:
            self.assertEqual(parse_target(text), expected)

    def test_what_cannot_be_reached_over_tls_is_refused(self) -> None:
        """Nothing falls back to another host, and the value is not repeated."""
        for text in [
            *("HTTP://secret.example.com:8443/v1/?q#f", "ftp://secret/y", "foo secret"),
            *("https://", "secret:0", "secret:99999", "sécret", "secret\r\nX: y"),
            *("[secret]", "secret..example", "https://secret.example\\@evil.com"),
        ]:
            error = self.assertRaises(ValueError, parse_target, text)
            self.assertNotIn("secret", str(error))

    def test_what_a_target_has_too_much_is_dropped_with_a_warning(self) -> None:
        """The warning names the place, and not the value."""
        for text, count in [
            ("h.example", 0),
            ("https://h.example/", 0),
            ("https://h.example/v1", 1),
            ("https://u:pw@h.example/v1", 2),
            ("https://h.example?pw", 1),
        ]:
            one = given(text)
            self.assertIsNotNone(one.target("X"))
            self.assertEqual(len(one.warnings), count)
            for warning in one.warnings:
                self.assertTrue(warning.startswith("providers.x.y has "))
                self.assertNotIn("pw", warning)

    def test_path_can_be_wanted(self) -> None:
        """Where a URL's path counts, there is nothing to warn of."""
        one = given("https://h.example/v1")
        self.assertEqual(
            one.target("X", with_path=True), Upstream("h.example", 443, "/v1")
        )
        self.assertEqual(one.warnings, [])


class BasePathTests(SynchronousTestCase):
    def test_slashes_are_put_right(self) -> None:
        """One slash in front, and one less at the end; a lone one means no prefix."""
        for text, expected in [
            ("v1", b"/v1"),
            ("/v1/", b"/v1"),
            (" /v1 ", b"/v1"),
            ("/v1//", b"/v1/"),
            ("/a%20b", b"/a%20b"),
            ("/", b""),
            ("", b""),
        ]:
            self.assertEqual(parse_base_path(text), expected)

    def test_what_is_no_plain_path_is_refused(self) -> None:
        """A prefix must mean the same to everybody, like any path."""
        for text in ("//evil", "/a/../b", "/a?b", "/a#b", "/é", "/a b", "/%61", "\\"):
            self.assertRaises(ValueError, parse_base_path, text)


class HeaderTests(SynchronousTestCase):
    def test_names_are_checked(self) -> None:
        """A name is a token, and none that frames or routes a message."""
        self.assertEqual(parse_header_name(" X-Key "), b"X-Key")
        for text in ("", "a b", "a:", "x\r\ny", "é", "Host", "content-length", "TE"):
            self.assertRaises(ValueError, parse_header_name, text)

    def test_values_are_checked(self) -> None:
        """A value is one line of Latin-1."""
        self.assertEqual(parse_header_value(" é\tx "), b"\xe9\tx")
        for text in ("a\rb", "a\nb", "a\x00b", "\x7f", "€"):
            self.assertRaises(ValueError, parse_header_value, text)


class GivenTests(SynchronousTestCase):
    def test_problem_begins_with_the_place(self) -> None:
        """Who reads it knows what to edit."""
        one = given("a b")
        self.assertIsNone(one.base_path("X"))
        self.assertEqual(one.header_name("X", b"default"), b"default")
        self.assertEqual(len(one.problems), 2)
        for problem in one.problems:
            self.assertTrue(problem.startswith("providers.x.y "))

    def test_absent_values_are_no_problem(self) -> None:
        """Everything has a default."""
        one = given("x")
        self.assertEqual(one.text("Y"), "")
        self.assertIsNone(one.target("Y"))
        self.assertIsNone(one.base_path("Y"))
        self.assertEqual(one.header_name("Y", b"default"), b"default")
        self.assertEqual(one.problems, [])

    def test_variables_are_called_by_their_first_name(self) -> None:
        """The environment's name, or TOML's where there is no other."""
        self.assertEqual(Variable(name="X", key="y").label, "X")
        self.assertEqual(Variable(key="y").label, "y")
