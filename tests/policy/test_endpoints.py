"""Endpoints whose answer is a credential."""

import re

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import EndpointRefused
from apiproxy.core.exchange import Exchange
from apiproxy.core.values import Ask
from apiproxy.policy.endpoints import RULES, Endpoints, loosely

MINTING = {
    "client-secrets": (
        b"/v1/realtime/client_secrets",
        b"/v1/realtime/sessions",
        b"/v1/realtime/transcription_sessions",
        b"/v1/realtime/translations/client_secrets",
        b"/v1/chatkit/sessions",
        b"/openai/realtimeapi/sessions",
        b"/openai/v1/realtime/client_secrets",
    ),
    "organization": (
        b"/v1/organization/admin_api_keys",
        b"/v1/organization/projects/p/service_accounts",
        b"/v1/organizations/api_keys",
        b"/v1/organization",
        b"/v1/dashboard/user/api_keys",
    ),
    "api-keys": (b"/v1/projects/p/api_keys", b"/api/v1/keys", b"/a/b/listKeys"),
    "oauth": (
        b"/api/oauth/claude_cli/create_api_key",
        b"/v1/oauth/token",
        b"/login/oauth/access_token",
        b"/oauth2/v4/token",
        b"/v1/token",
    ),
    "auth-tokens": (
        b"/v1alpha/auth_tokens",
        b"/v1beta/auth_tokens",
        b"/v1alpha/authTokens",
    ),
    "copilot-internal": (b"/copilot_internal/v2/token", b"/copilot_internal/user"),
    "access-tokens": (
        b"/app/installations/1/access_tokens",
        b"/v1/projects/-/serviceAccounts/a@b:generateAccessToken",
        b"/repos/o/r/actions/runners/registration-token",
    ),
}

USED = (
    b"/v1/responses",
    b"/v1/chat/completions",
    b"/v1/messages",
    b"/v1/messages/count_tokens",
    b"/v1/models",
    b"/v1/realtime",
    b"/v1/realtime/calls",
    b"/v1/files/file-abc/content",
    b"/v1/threads/t/runs/r/submit_tool_outputs",
    b"/v1beta/models/gemini:generateContent",
    b"/v1beta/models/gemini:countTokens",
    b"/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
    b"/models/session",
    b"/models",
    b"/agents/sessions",
    b"/",
)


class EndpointTests(SynchronousTestCase):
    """The guard."""

    def check(self, path: bytes, *opened: str) -> EndpointRefused | None:
        """What becomes of a request."""
        exchange = Exchange("id", "openai", "POST", "/", seconds=float)
        error = Endpoints(opened).check(exchange, Ask(b"POST", path, path, []))
        assert error is None or isinstance(error, EndpointRefused)
        return error

    def test_what_is_minted_is_refused(self) -> None:
        """The message names the rule and the setting that opens it."""
        self.assertEqual(set(MINTING), {rule.name for rule in RULES})
        for name, paths in MINTING.items():
            for path in paths:
                error = self.check(path)
                assert error is not None, path
                # A path may fall under several; the message names the first.
                named = re.search(r"APIPROXY_OPEN_ENDPOINTS=([a-z-]+) ", error.message)
                assert named is not None
                self.assertIn(f"rule {named[1]}", error.message)
                every = [rule.name for rule in RULES]
                self.assertIsNone(self.check(path, *every))
                self.assertIsNotNone(
                    self.check(path, *(each for each in every if each != name)), path
                )

    def test_what_agents_use_passes(self) -> None:
        """Inference, files, models, sockets."""
        for path in USED:
            self.assertIsNone(self.check(path), path)

    def test_a_base_path_hides_nothing(self) -> None:
        """Wherever the provider's API begins."""
        for base in (b"/openai", b"/proxy/v9/a.b", b"/v1"):
            self.assertIsNotNone(self.check(base + b"/v1/realtime/client_secrets"))

    def test_no_spelling_slips_through(self) -> None:
        """Case, escapes (twice, too), empty segments, parameters, dots, backslashes."""
        for path in (
            b"/v1/Realtime/CLIENT_SECRETS",
            b"/v1/realtime/client%5Fsecrets",
            b"/v1/realtime/client%255Fsecrets",
            b"/v1%2Frealtime%2fclient_secrets",
            b"/v1//realtime///client_secrets/",
            b"/v1/realtime;x=1/client_secrets;y",
            b"/v1/realtime%3Bx/client_secrets",
            b"/v1/realtime/client_secrets.",
            b"/v1/realtime/client_secrets%20",
            b"/v1/realtime/client_secrets%00",
            b"/v1/realtime%5Cclient_secrets",
            b"/v1/realtime/client-secrets",
            b"/v1/realtime/x/%252e%252e/sessions",
            b"/v1/x/%252e%252e%252frealtime%252fsessions",
            b"/v1/realtime/x/y/%252e%252e;z/%2e%252e/sessions",
            b"/v1/realtime/%252e%252e/sessions",
            b"/v1/realtime/x//%252e%252e/%252e%252e/sessions",
            b"/v1/realtime/x/%2520/%252e%252e/%252e%252e/sessions",
            b"/v1/realtime/x%252fy/%252e%252e/sessions",
            b"/v1/realtime/x/%252e%252e/%25252e%25252e/sessions",
            b"/v1/realtime/x/%25252e%25252e/%252e%252e/%252e%252e/sessions",
        ):
            self.assertIsNotNone(self.check(path), path)

    def test_only_whole_segments_count(self) -> None:
        """A name that has one of the words in it is another name."""
        for path in (b"/v1/my-oauth-app", b"/v1/organizational", b"/v1/files/stsx"):
            self.assertIsNone(self.check(path), path)

    @given(st.binary(max_size=60), st.sampled_from(MINTING["client-secrets"]))
    def test_whatever_stands_before_it(self, before: bytes, path: bytes) -> None:
        """No prefix of whole segments takes a rule out of force."""
        if b";" not in before and b"%" not in before:
            self.assertIsNotNone(Endpoints().rule(b"/" + before + path))

    def test_loose_paths_are_in_one_spelling(self) -> None:
        """Which is the same when it is made again."""
        for path in (b"/a_B/%2e./c", b"", b"/", b"//a/;x/b."):
            once = loosely(path)
            self.assertEqual(loosely(once), once)
            self.assertTrue(once.startswith(b"/"))
            self.assertTrue(once.endswith(b"/"))

    def test_repr(self) -> None:
        """For the log of a guard that broke."""
        self.assertEqual(repr(Endpoints(["oauth"])), "<Endpoints 6 of 7 rules>")
