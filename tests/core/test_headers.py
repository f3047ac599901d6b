"""Which header lines pass: no credential, no line for this hop only, and all the rest."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.headers import (
    connection_options,
    join,
    request_id,
    request_kind,
    sort_answer,
    sort_request,
    subprotocols,
    wants_websocket,
)
from apiproxy.core.values import Fields
from tests.kit.hypothesis_profile import STEADY

# Written out here, so that a line taken off the list of the source is missed.
SLOTS = [
    *(b"authorization", b"proxy-authorization", b"x-api-key", b"api-key"),
    *(b"x-goog-api-key", b"x-goog-user-project", b"cookie", b"openai-organization"),
    *(b"openai-project", b"x-github-token", b"x-amz-security-token", b"x-amz-date"),
    *(b"x-goog-iam-authorization-token", b"x-auth-token", b"ocp-apim-subscription-key"),
    *(b"x-access-token", b"x-authorization", b"x-serverless-authorization"),
    *(b"x-goog-iam-authority-selector", b"x-ms-token-aad-access-token"),
]
HOP = [
    *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"),
    *(b"transfer-encoding", b"proxy-authenticate", b"proxy-authentication-info"),
]
FORWARDING = [
    *(b"forwarded", b"via", b"x-real-ip", b"client-ip", b"x-forwarded-for"),
    *(b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-anything"),
]
OURS = [
    *(b"host", b"content-length", b"expect", b"x-request-id", b"x-apiproxy-error"),
    *(b"x-host", b"x-original-host", b"x-original-url", b"x-rewrite-url"),
    *(b"x-http-method", b"x-http-method-override", b"x-method-override"),
]
OWN = b"x-mine"
HARMLESS = [
    *(
        b"accept",
        b"user-agent",
        b"content-type",
        b"anthropic-version",
        b"x-authorizations",
    ),
    *(b"authorization-x", b"x-api-keys", b"x-amzn-trace-id", b"cookies", b"xamz-date"),
    *(b"openai-beta", b"close", b"x-goog-api-client", b"hostname", b"x-forwarded"),
]


def mutated(name: bytes) -> st.SearchStrategy[bytes]:
    """The name with letters in any case and any of its hyphens as underscores."""

    def mutate(flips: list[bool]) -> bytes:
        return bytes(
            (0x5F if code == 0x2D else code ^ 0x20 if chr(code).isalpha() else code)
            if flip
            else code
            for code, flip in zip(name, flips, strict=True)
        )

    return st.lists(st.booleans(), min_size=len(name), max_size=len(name)).map(mutate)


dropped_names = st.sampled_from([*SLOTS, *HOP, *FORWARDING, *OURS, OWN]).flatmap(
    mutated
)
kept_names = st.sampled_from(HARMLESS).flatmap(mutated)


class SortRequestTests(SynchronousTestCase):
    def test_every_credential_slot_is_removed(self) -> None:
        """Whatever key the agent sends, in whichever spelling, stays here."""
        for slot in SLOTS:
            for name in [
                slot,
                slot.upper(),
                slot.title(),
                slot.replace(b"-", b"_"),
                slot.upper().replace(b"-", b"_"),
                slot.replace(b"-", b"_", 1),
            ]:
                fields = [(b"A", b"1"), (name, b"x"), (b"B", b"2"), (name, b"y")]
                kept, special = sort_request(fields)
                self.assertEqual(kept, [(b"A", b"1"), (b"B", b"2")], name)
                if b"_" not in name:
                    self.assertEqual(special, {slot: [b"x", b"y"]})

    def test_lines_for_this_hop_are_removed(self) -> None:
        """Hop-by-hop and forwarding lines, and those that we say anew."""
        for name in [*HOP, *FORWARDING, *OURS]:
            kept, special = sort_request([(name.title(), b"x"), (b"A", b"1")])
            self.assertEqual(kept, [(b"A", b"1")], name)
            self.assertEqual(special, {name: [b"x"]})

    def test_folded_name_gets_no_meaning(self) -> None:
        """Transfer_Encoding frames nothing and Authorization_ is nobody."""
        kept, special = sort_request(
            [
                (b"Transfer_Encoding", b"chunked"),
                (b"content_length", b"5"),
                (b"x_request_id", b"a"),
                (b"X_Custom_Name", b"passes"),
            ]
        )
        self.assertEqual((kept, special), ([(b"X_Custom_Name", b"passes")], {}))

    def test_configured_credential_header_is_a_slot_too(self) -> None:
        """A provider's own header name cannot be sent by the agent, however spelled."""
        for own in [b"x-my-key", b"x_my_key", b"x-my_key"]:
            for name in [b"x-my-key", b"X_My_Key", b"X-MY_KEY", b"x_my-key"]:
                kept, _ = sort_request(
                    [(name, b"1"), (b"X-My", b"2")], request_kind(frozenset({own}))
                )
                self.assertEqual(kept, [(b"X-My", b"2")], (own, name))
        self.assertEqual(
            sort_request([(b"X-My-Key", b"1")], request_kind(frozenset({b"x-my-key"})))[
                1
            ],
            {b"x-my-key": [b"1"]},
        )

    def test_connection_names_further_lines_to_remove(self) -> None:
        """All that Connection lists, over several lines, is for us alone."""
        kept, special = sort_request(
            [
                (b"X-Hop", b"1"),
                (b"Connection", b"close, X-Hop ,\t,upgrade"),
                (b"X-Stay", b"2"),
                (b"CONNECTION", b"x-hop-too"),
                (b"X-HOP-Too", b"3"),
                (b"X-Hop-Three", b"4"),
            ]
        )
        self.assertEqual(kept, [(b"X-Stay", b"2"), (b"X-Hop-Three", b"4")])
        self.assertEqual(
            special[b"connection"], [b"close, X-Hop ,\t,upgrade", b"x-hop-too"]
        )

    def test_connection_that_names_nothing_removes_nothing(self) -> None:
        """Close, keep-alive and Upgrade are options, not lines."""
        for value in [b"close", b"Keep-Alive", b"Upgrade, close", b"keep-alive,close"]:
            fields = [(b"Close", b"1"), (b"Connection", value), (b"A", b"2")]
            self.assertEqual(sort_request(fields)[0], [(b"Close", b"1"), (b"A", b"2")])

    @STEADY
    @given(st.lists(st.tuples(st.one_of(dropped_names, kept_names), st.just(b"v"))))
    def test_no_slot_passes_and_nothing_else_is_lost(self, fields: Fields) -> None:
        """Any mixture of spellings: the credentials go, the rest stays in order."""
        fields = [line for line in fields if line[0].lower() != b"connection"]
        kept, _ = sort_request(fields, request_kind(frozenset({OWN})))
        harmless = [
            line for line in fields if line[0].lower().replace(b"_", b"-") in HARMLESS
        ]
        self.assertEqual(kept, harmless)
        self.assertEqual(sort_request(kept, request_kind(frozenset({OWN}))), (kept, {}))


class SortAnswerTests(SynchronousTestCase):
    def test_providers_request_id_is_renamed(self) -> None:
        """The agent sees ours as x-request-id and the provider's beside it."""
        kept, special = sort_answer(
            [
                (b"X-Request-ID", b"theirs"),
                (b"x-upstream-request-id", b"pretended"),
                (b"X-Apiproxy-Error", b"pretended"),
                (b"Request-Id", b"other"),
            ]
        )
        self.assertEqual(
            kept, [(b"x-upstream-request-id", b"theirs"), (b"Request-Id", b"other")]
        )
        self.assertEqual(special[b"x-request-id"], [b"theirs"])

    def test_lines_for_this_hop_are_removed(self) -> None:
        """Nothing of our line to the provider shows, nor a way around us."""
        for name in [*HOP, b"alt-svc", b"sec-websocket-accept"]:
            kept, special = sort_answer([(name.upper(), b"x"), (b"A", b"1")])
            self.assertEqual((kept, special), ([(b"A", b"1")], {name: [b"x"]}))

    def test_other_lines_pass_in_order(self) -> None:
        """Repeats, case and Latin-1 are the agent's to read."""
        fields = [
            (b"Set-Cookie", b"a"),
            (b"Retry-After", b"3"),
            (b"set-cookie", b"b"),
            (b"X-RateLimit", b"\xe9"),
        ]
        self.assertEqual(sort_answer(fields), (fields, {}))

    def test_length_passes_once(self) -> None:
        """The agent gets one Content-Length even where the provider sent it twice."""
        fields = [(b"Content-Length", b"7"), (b"A", b"1"), (b"content-length", b"7")]
        kept, special = sort_answer(fields)
        self.assertEqual(kept, [(b"Content-Length", b"7"), (b"A", b"1")])
        self.assertEqual(special, {b"content-length": [b"7", b"7"]})

    def test_connection_names_further_lines_to_remove(self) -> None:
        """A provider may mark lines as meant for us."""
        kept, _ = sort_answer(
            [(b"X-Hop", b"1"), (b"Connection", b"x-hop"), (b"A", b"2")]
        )
        self.assertEqual(kept, [(b"A", b"2")])

    def test_connection_cannot_take_the_length_away(self) -> None:
        """Without its length an answer would run into the next one on the connection."""
        kept, special = sort_answer(
            [(b"Connection", b"content-length"), (b"Content-Length", b"7")]
        )
        self.assertEqual(kept, [(b"Content-Length", b"7")])
        self.assertEqual(special[b"content-length"], [b"7"])


class OptionTests(SynchronousTestCase):
    def test_connection_options_are_gathered(self) -> None:
        """Over several lines, in any case, with any white space."""
        self.assertEqual(connection_options({}), set())
        self.assertEqual(
            connection_options({b"connection": [b"Close ,\tX", b"UPGRADE"]}),
            {b"close", b"x", b"upgrade"},
        )

    def test_websocket_is_wanted_only_by_both_lines(self) -> None:
        """Upgrade and Connection, in any case and in a list; else it is plain HTTP."""
        for upgrade, connection, wanted in [
            ([b"websocket"], [b"Upgrade"], True),
            ([b"WebSocket "], [b"keep-alive, UPGRADE"], True),
            ([b"h2c", b"websocket"], [b"keep-alive", b"upgrade"], True),
            ([b"h2c"], [b"upgrade"], False),
            ([b"websockets"], [b"upgrade"], False),
            ([b"websocket"], [b"close"], False),
            ([b"websocket"], [b"upgrades"], False),
            ([b"websocket"], [], False),
            ([], [b"upgrade"], False),
        ]:
            self.assertIs(
                wants_websocket({b"upgrade": upgrade, b"connection": connection}),
                wanted,
                (upgrade, connection),
            )
        self.assertFalse(wants_websocket({b"upgrade": [b"websocket"]}))
        self.assertFalse(wants_websocket({b"connection": [b"upgrade"]}))

    def test_request_id_of_the_agent_is_used_if_harmless(self) -> None:
        """One line of 1 to 128 letters, digits, dots, hyphens and underscores."""
        for value in [b"a", b"A-z_0.9", b"x" * 128]:
            self.assertEqual(request_id({b"x-request-id": [value]}), value.decode())
        for value in [
            *(
                b"",
                b"x" * 129,
                b"a b",
                b"a\tb",
                b"a/b",
                b"\xe9",
                b'"a"',
                b"a,b",
                b"a\n",
            ),
            *(b"{a}", b"a\r\nX: y", b"a\x00"),
        ]:
            self.assertIsNone(request_id({b"x-request-id": [value]}), value)
        self.assertIsNone(request_id({b"x-request-id": [b"a", b"a"]}))
        self.assertIsNone(request_id({}))


class SubprotocolTests(SynchronousTestCase):
    def test_offers_pass_in_order(self) -> None:
        """Over several lines, repeats kept, empty ones dropped."""
        for lines, expected in [
            ([b"realtime, openai-beta.realtime-v1"], 2),
            ([b"a", b"b,a"], 3),
            ([b" , ,a,\t"], 1),
            ([b""], 0),
        ]:
            found = subprotocols({b"sec-websocket-protocol": lines})
            self.assertEqual(len(found), expected, lines)
        self.assertEqual(
            subprotocols({b"sec-websocket-protocol": [b"b, a", b"b"]}),
            [b"b", b"a", b"b"],
        )
        self.assertEqual(subprotocols({}), [])

    def test_credentials_are_not_offered(self) -> None:
        """Keys that browsers hide among the subprotocols stay here."""
        for prefix in [
            *(b"openai-insecure-api-key.", b"openai-ephemeral-token."),
            *(b"openai-organization.", b"openai-project."),
        ]:
            for name in [prefix + b"sk-1", prefix.upper() + b"SK", prefix]:
                lines = [b"realtime," + name, name + b" ", b"x, " + name + b" ,y"]
                self.assertEqual(
                    subprotocols({b"sec-websocket-protocol": lines}),
                    [b"realtime", b"x", b"y"],
                )

    def test_offer_that_is_not_a_token_is_dropped(self) -> None:
        """Quotes cannot hide a key, and no odd byte comes back in the 101."""
        for name in [
            b'"openai-insecure-api-key.sk"',
            b"caf\xe9",
            b"a b",
            b"a;b",
            b"a=b",
        ]:
            self.assertEqual(
                subprotocols({b"sec-websocket-protocol": [b"a, " + name]}), [b"a"], name
            )


class JoinTests(SynchronousTestCase):
    def test_lines_are_written_as_they_are(self) -> None:
        """One line each, ended by CRLF."""
        self.assertEqual(join([]), b"")
        self.assertEqual(
            join([(b"X-a", b"\xe9"), (b"b", b"")]), b"X-a: \xe9\r\nb: \r\n"
        )
