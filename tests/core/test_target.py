"""The request target: what is refused, what is changed, and that nothing else is."""

import re
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given, settings, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import BadTarget
from apiproxy.core.target import (
    CREDENTIAL_KEYS,
    canonical_path,
    split_target,
    upstream_target,
    without_credentials,
)

PROFILE = settings(derandomize=True, deadline=None, max_examples=300)

FRAGMENTS = [
    *("/", "//", ".", "..", "/../", "/./", "%2e", "%2E%2e", "%2f", "%5c", "\\"),
    *("%", "%2", "%25", "%252e", "%61", "%zz", "a", "v1", "@", ":", ":80", ";", "#"),
    *("?", "&", "=", "+", "key", "KEY", "k%65y", "%6bey", "api_key", "%61pikey", "x"),
    *("token", "evil.com", "*", " ", "\t", "\r\n", "\x00", "é", "[::1]", "%00", "%20"),
]
TARGETS = st.one_of(
    st.binary(max_size=24),
    st.lists(st.sampled_from(FRAGMENTS), max_size=10).map(
        lambda parts: ("/" + "".join(parts)).encode()
    ),
)
BASE_PATHS = st.sampled_from([b"", b"/", b"/v1", b"/a/b", b"/openai/deployments/x"])


def attempt(target: bytes, base_path: bytes) -> bytes | None:
    """What goes upstream; None when it is refused."""
    try:
        return upstream_target(target, base_path)
    except BadTarget:
        return None


class UpstreamTargetTests(SynchronousTestCase):
    def test_base_path_is_put_in_front_once(self) -> None:
        """An agent may include the base path or leave it out."""
        for target, base_path, expected in [
            (b"/v1/x", b"/v1", b"/v1/x"),
            (b"/v1", b"/v1", b"/v1"),
            (b"/v10/x", b"/v1", b"/v1/v10/x"),
            (b"/responses", b"/v1", b"/v1/responses"),
            (b"/", b"/v1", b"/v1/"),
            (b"/v1?a=1", b"/v1", b"/v1?a=1"),
            (b"/v1/", b"/v1", b"/v1/"),
            (b"/v1/x", b"", b"/v1/x"),
            (b"/x", b"/", b"/x"),
            (b"/health?x", b"/v1", b"/v1/health?x"),
        ]:
            self.assertEqual(upstream_target(target, base_path), expected)

    def test_dot_segments_are_resolved_before_the_base_path_is_added(self) -> None:
        """Nobody climbs out of the base path, however the dots are written."""
        for target, expected in [
            (b"/a/../b", b"/p/b"),
            (b"/p/../q", b"/p/q"),
            (b"/a/%2e%2e/b", b"/p/b"),
            (b"/a/%2E./b", b"/p/b"),
            (b"/a/./b", b"/p/a/b"),
            (b"/../../b", b"/p/b"),
            (b"/a/..", b"/p/"),
            (b"/a/b/.", b"/p/a/b/"),
            (b"/a//../b", b"/p/a/b"),
            (b"/...", b"/p/..."),
            (b"/.well-known/x", b"/p/.well-known/x"),
        ]:
            self.assertEqual(upstream_target(target, b"/p"), expected)

    def test_only_needless_escapes_are_undone(self) -> None:
        """All that might mean something else when it is decoded stays as it is."""
        for target, expected in [
            (b"/%61%2D%7e", b"/a-~"),
            (b"/a%2Fb", b"/a%2Fb"),
            (b"/a%2fb", b"/a%2fb"),
            (b"/a%zz%", b"/a%zz%"),
            (b"/100%%", b"/100%%"),
            (b"/%252e%252e/x", b"/%252e%252e/x"),
            (b"/a//b", b"/a//b"),
            (b"/a%20b", b"/a%20b"),
            (b"/m/foo:bar;v=1", b"/m/foo:bar;v=1"),
            (b"/%41?%41=%41", b"/A?%41=%41"),
        ]:
            self.assertEqual(upstream_target(target, b""), expected)

    def test_what_is_not_origin_form_is_refused(self) -> None:
        """A target that names a host, or could, gets 400."""
        for target in [
            *(b"", b"*", b"x", b"?x", b"//evil.com/x", b"http://evil.com/x"),
            *(b"evil.com:443", b"@evil.com", b".evil.com/x", b"/\\evil.com/zz", b"/\\"),
            *(b"/x\\y", b"/x?a=\\", b"/x#y", b"/x?#", b"/a b", b"/a\tb", b"/a\x00"),
            *(b"/x\r\nA: b", b"/\xc3\xa9", b"/\x7f", b"/x?\xff"),
        ]:
            self.assertRaises(BadTarget, upstream_target, target, b"/v1")

    def test_what_hides_a_host_or_dots_is_refused(self) -> None:
        """So is a target that becomes one of those after one more decoding."""
        for target in [
            *(b"/.//evil.com", b"/a/..//evil.com", b"/%2e//x", b"/%2%65%2%65/x"),
            *(b"/%%32e/x", b"/%2%46", b"/a/..%2fb", b"/a/..%2Fb", b"/a%2f..%2fb"),
            *(b"/a%5c..", b"/a/..;/b", b"/a/.;x", b"/a/..%5Cb", b"/a/..%00"),
        ]:
            self.assertRaises(BadTarget, upstream_target, target, b"")

    def test_empty_query_is_dropped(self) -> None:
        """A lone question mark at the end goes away; a second one is data."""
        self.assertEqual(upstream_target(b"/x?", b"/p"), b"/p/x")
        self.assertEqual(upstream_target(b"/x??", b""), b"/x??")

    def test_canonical_path_refuses_what_is_no_path(self) -> None:
        """The function is safe when it is called alone."""
        for path in (b"x", b"//x", b"/x#", b""):
            self.assertRaises(BadTarget, canonical_path, path)

    def test_target_is_split_at_the_first_question_mark(self) -> None:
        """Path and query put together are the target again."""
        self.assertEqual(split_target(b"/x?a?b"), (b"/x", b"?a?b"))
        self.assertEqual(split_target(b"/x"), (b"/x", b""))


_DOUBLED = re.compile(rb"//ws/[a-z.]+")


class DoubledSlashTests(SynchronousTestCase):
    def test_a_path_that_is_known_loses_a_slash(self) -> None:
        """What is sent is what the agent might have sent; the rest of it is judged as ever."""
        for target, expected in [
            (b"//ws/a.b", b"/ws/a.b"),
            (b"//ws/a.b?key=1&a=//x", b"/ws/a.b?a=//x"),
            (b"/ws/a.b", b"/ws/a.b"),
            (b"/x//ws/a.b", b"/x//ws/a.b"),
        ]:
            self.assertEqual(upstream_target(target, b"", _DOUBLED), expected)
        self.assertEqual(upstream_target(b"//ws/a", b"/v1", _DOUBLED), b"/v1/ws/a")

    def test_everything_else_with_two_slashes_is_refused(self) -> None:
        """Only a whole path counts; and nothing where a provider has none of these."""
        for target in [
            *(b"//ws/a.b/c", b"//ws/A", b"//ws", b"///ws/a.b", b"//evil.com/ws/a.b"),
            *(b"//ws/a.b#", b"//ws/a.b?\\", b"//ws/%61", b"//ws/a.b@c", b"//WS/a.b"),
        ]:
            self.assertRaises(BadTarget, upstream_target, target, b"", _DOUBLED)
        self.assertRaises(BadTarget, upstream_target, b"//ws/a.b", b"")

    @PROFILE
    @given(st.one_of(TARGETS, TARGETS.map(lambda target: b"/" + target)), BASE_PATHS)
    def test_nothing_more_can_be_reached(self, target: bytes, base_path: bytes) -> None:
        """Whatever paths a provider names: the result is that of a target with one slash."""
        for doubled in (_DOUBLED, re.compile(rb".*", re.S)):
            try:
                result = upstream_target(target, base_path, doubled)
            except BadTarget:
                continue
            self.assertIn(
                result, (attempt(target, base_path), attempt(target[1:], base_path))
            )
            self.assertEqual(upstream_target(result, base_path), result)


class CredentialKeyTests(SynchronousTestCase):
    def test_credentials_are_removed_and_the_rest_stays_byte_for_byte(self) -> None:
        """An agent's key in the query does not travel, however it is spelled."""
        for query, expected in [
            (b"", b""),
            (b"?a=1&b=%20+&&c", b"?a=1&b=%20+&&c"),
            (b"?key=1", b""),
            (b"?a=1&key=2&b=3", b"?a=1&b=3"),
            (b"?key=1&a=2", b"?a=2"),
            (b"?a=2&key", b"?a=2"),
            (b"?KEY=1&Api_Key=2&apiKey=3&APIKEY=4&access_token=5&token=6&x", b"?x"),
            (b"?k%65y=1&%6B%45%59=2&api%5Fkey=3&y=1", b"?y=1"),
            (b"?+key=1&%20token=2&key+=3&key%00=4&z", b"?z"),
            (b"?a=1;key=2&b=3", b"?a=1&b=3"),
            (b"?oauth_token=1&Bearer_Token=2&a=3", b"?a=3"),
            (b"?x-api-key=1&X-Goog-Api-Key=2&a=3", b"?a=3"),
            (b"?Authorization=Bearer%20x&a=3", b"?a=3"),
            (b"?authorization=x", b""),
            (b"?monkey=1&key2=2&tokens=3", b"?monkey=1&key2=2&tokens=3"),
            (b"?a=key&b=token=1", b"?a=key&b=token=1"),
            (b"?%zz=1&+", b"?%zz=1&+"),
            (b"?a=1;b=2", b"?a=1;b=2"),
            (b"?key=1&", b""),
        ]:
            self.assertEqual(without_credentials(query), expected)


class SecondCredentialTests(SynchronousTestCase):
    def test_no_spelling_of_a_credential_key_passes(self) -> None:
        """An agent cannot bring a second credential along in the query."""
        for key in (
            "api-key",
            "API_KEY",
            "oauth_token",
            "bearer_token",
            "subscription-key",
            "key[]",
            "apiKey[0]",
            "?key",
            "%61uth%5Ftoken",
            "X-Amz-Security-Token",
            "X-Goog-Signature",
            "x_goog_api_key",
            "$httpHeaders",
            "%24httpMethod",
            "authorization",
            "id_token",
        ):
            query = f"?a=1&{key}=AGENT&b=2".encode()
            self.assertEqual(without_credentials(query), b"?a=1&b=2", key)

    def test_other_keys_pass(self) -> None:
        """What only looks alike is the agent's business."""
        query = b"?keys=1&pageToken=2&tokens=3&model=key&max-tokens=4&monkey=5"
        self.assertEqual(without_credentials(query), query)


class TargetPropertyTests(SynchronousTestCase):
    @PROFILE
    @given(TARGETS, BASE_PATHS)
    def test_result_begins_with_exactly_one_slash(
        self, target: bytes, base_path: bytes
    ) -> None:
        """What goes upstream is always origin-form."""
        result = attempt(target, base_path)
        if result is not None:
            self.assertRegex(result, rb"\A/(?!/)[!-~]*\Z")
            self.assertNotIn(b"\\", result)

    @PROFILE
    @given(TARGETS, BASE_PATHS)
    def test_second_pass_changes_nothing(self, target: bytes, base_path: bytes) -> None:
        """There is one spelling, so policy and upstream see the same path."""
        result = attempt(target, base_path)
        if result is not None:
            self.assertEqual(upstream_target(result, base_path), result)

    @PROFILE
    @given(TARGETS, BASE_PATHS)
    def test_host_cannot_change(self, target: bytes, base_path: bytes) -> None:
        """Even glued to the host name, a target could not lead elsewhere."""
        result = attempt(target, base_path)
        if result is not None:
            url = urlsplit(f"https://api.example.com{result.decode()}")
            self.assertEqual(url.netloc, "api.example.com")

    @PROFILE
    @given(TARGETS, BASE_PATHS)
    def test_no_credential_key_survives(self, target: bytes, base_path: bytes) -> None:
        """No parameter with a credential's name is left for a server to find."""
        result = attempt(target, base_path)
        if result is not None:
            query = split_target(result)[1][1:].replace(b";", b"&").decode()
            names = {name.strip().lower() for name, _ in parse_qsl(query, True)}
            keys = {name.replace("_", "-") for name in names}
            self.assertEqual(keys & {name.decode() for name in CREDENTIAL_KEYS}, set())

    @PROFILE
    @given(TARGETS, BASE_PATHS)
    def test_no_dot_segment_survives(self, target: bytes, base_path: bytes) -> None:
        """Nor one that was written with escapes."""
        result = attempt(target, base_path)
        if result is not None:
            path = split_target(result)[0].lower().replace(b"%2e", b".")
            segments = path.replace(b"%2f", b"/").replace(b"%5c", b"/").split(b"/")
            self.assertFalse({b".", b".."} & set(segments))
