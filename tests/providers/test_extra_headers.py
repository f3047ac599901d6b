"""Header lines configured for a provider behind Copilot."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Fields
from apiproxy.providers.blueprint import Given
from apiproxy.providers.copilot import BLUEPRINT
from apiproxy.providers.extra_headers import extra_headers
from tests.providers.settings_for import given_to


def read(headers: str, session: str = "") -> tuple[Fields, Given]:
    given = given_to(
        BLUEPRINT, AWF_BYOK_EXTRA_HEADERS=headers, AWF_PROVIDER_SESSION_ID=session
    )
    return extra_headers(given), given


class ExtraHeadersTests(SynchronousTestCase):
    def test_session_id_is_one_of_them(self) -> None:
        """Unless the operator has configured that header already."""
        for headers, expected in [
            ("", [(b"x-session-id", b"s")]),
            ('{"a": "b"}', [(b"a", b"b"), (b"x-session-id", b"s")]),
            ('{"X-Session-Id": "t"}', [(b"X-Session-Id", b"t")]),
        ]:
            self.assertEqual(read(headers, "s")[0], expected)
        self.assertEqual(read("")[0], [])

    def test_members_that_cannot_be_sent_are_skipped_with_a_warning(self) -> None:
        """As they always were: nobody's start fails because of them."""
        for headers in [
            *('{"a": 1}', '{"a": null}', '{"__proto__": "x"}', '{"constructor": "x"}'),
            *('{"Authorization": "x"}', '{"x-api-key": "x"}', '{"prototype": "x"}'),
            *('{"X-Goog-Api-Key": "x"}', '{"proxy-authorization": "x"}'),
        ]:
            lines, given = read(headers)
            self.assertEqual((lines, given.problems), ([], []))
            self.assertTrue(given.warnings[0].startswith("AWF_BYOK_EXTRA_HEADERS "))

    def test_nonsense_is_a_problem(self) -> None:
        """A line that would break the request stops the start, not the request."""
        for headers in [
            *("{", "[]", '"x"', "null", '{"a b": "x"}', '{"": "x"}', '{"Host": "x"}'),
            *('{"a": "x\\r\\ny"}', '{"a": "\\u0000"}', '{"a": "\\u20ac"}'),
            *('{"a": "x", "A": "y"}', '{"content-length": "0"}'),
        ]:
            lines, given = read(headers)
            self.assertEqual(lines, [], headers)
            self.assertTrue(given.problems[0].startswith("AWF_BYOK_EXTRA_HEADERS "))
        lines, given = read("", "a\nb")
        self.assertTrue(given.problems[0].startswith("AWF_PROVIDER_SESSION_ID "))
