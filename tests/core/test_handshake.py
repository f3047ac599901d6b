"""The WebSocket handshake: which one is carried, and what is asked of the provider."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import MalformedRequest
from apiproxy.core.handshake import check_handshake, deflate_offers, handshake_fields
from apiproxy.core.head import CHUNKED
from apiproxy.core.headers import Special

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def special(
    keys: tuple[bytes, ...] = (KEY,), versions: tuple[bytes, ...] = (b"13",)
) -> Special:
    """The handshake lines of an agent."""
    return {
        b"sec-websocket-key": list(keys),
        b"sec-websocket-version": list(versions),
    }


class CheckHandshakeTests(SynchronousTestCase):
    def refuse(
        self,
        lines: Special,
        method: bytes = b"GET",
        minor: int = 1,
        length: int = 0,
    ) -> str:
        """The message with which this handshake is refused."""
        with self.assertRaises(MalformedRequest) as caught:
            check_handshake(method, minor, length, lines)
        message: str = caught.exception.message
        return message

    def test_handshake_of_the_rfc_is_carried(self) -> None:
        """One key of 16 bytes, version 13, GET, no body."""
        check_handshake(b"GET", 1, 0, special())

    def test_request_that_is_no_handshake_is_refused(self) -> None:
        """Another method, another version of HTTP, a body: 400 says what is wanted."""
        for method, minor, length in [
            (b"POST", 1, 0),
            (b"get", 1, 0),
            (b"GET", 0, 0),
            (b"GET", 1, 5),
            (b"GET", 1, CHUNKED),
        ]:
            self.assertIn("GET", self.refuse(special(), method, minor, length))

    def test_key_must_be_one_of_16_bytes(self) -> None:
        """None, two, too short, too long, or not base64."""
        for keys in [
            *((), (KEY, KEY), (b"",), (KEY[:-1],), (KEY + b"=",), (b"A" * 24,)),
            *((KEY + b"\r\n",), (b"*" * 22 + b"==",), (KEY + b", " + KEY,)),
        ]:
            self.assertIn("Sec-WebSocket-Key", self.refuse(special(keys)))
        lines = special()
        del lines[b"sec-websocket-key"]
        self.assertIn("Sec-WebSocket-Key", self.refuse(lines))

    def test_version_must_be_13(self) -> None:
        """400 names the one version there is."""
        for versions in [(), (b"8",), (b"13", b"13"), (b"13, 8",), (b"013",)]:
            self.assertIn("13", self.refuse(special(versions=versions)))
        lines = special()
        del lines[b"sec-websocket-version"]
        self.assertIn("13", self.refuse(lines))


class DeflateTests(SynchronousTestCase):
    def offers(self, *lines: bytes) -> bytes:
        """What is offered to the provider when an agent offers this."""
        return deflate_offers({b"sec-websocket-extensions": list(lines)})

    def test_compression_is_offered_in_the_agents_words(self) -> None:
        """Parameters, order and alternatives are for the two ends to settle."""
        for offer in [
            b"permessage-deflate",
            b"permessage-deflate; client_max_window_bits",
            b"permessage-deflate; client_max_window_bits=15; server_no_context_takeover",
            b'permessage-deflate;server_max_window_bits="10"',
            b"Permessage-Deflate ;\tCLIENT_MAX_WINDOW_BITS",
            b"permessage-deflate; client_max_window_bits, permessage-deflate",
        ]:
            self.assertEqual(self.offers(offer), offer)
        self.assertEqual(
            self.offers(b"permessage-deflate;a=1 ", b" permessage-deflate"),
            b"permessage-deflate;a=1, permessage-deflate",
        )

    def test_other_extensions_are_not_offered(self) -> None:
        """The scanner could not follow their frames."""
        self.assertEqual(deflate_offers({}), b"")
        for offer in [
            *(b"", b",", b"x-webkit-deflate-frame", b"permessage-bzip2", b"mux; a=1"),
            *(b"permessage-deflate-x", b"xpermessage-deflate", b"permessage-deflate x"),
            *(
                b"permessage-deflate; a=b",
                b"permessage-deflate; a=123",
                b"permessage-deflate;",
            ),
            *(
                b"permessage-deflate; a=",
                b"permessage-deflate; \xe9",
                b"permessage-deflate; a b",
            ),
        ]:
            self.assertEqual(self.offers(offer), b"", offer)
        self.assertEqual(
            self.offers(b"mux, permessage-deflate, x; y=1"), b"permessage-deflate"
        )

    def test_quotes_must_be_whole(self) -> None:
        """A quote left open could swallow what stands behind it."""
        for offer in [
            b'permessage-deflate; a="1',
            b'permessage-deflate; a=1"',
            b'permessage-deflate; a="1, permessage-deflate; b=1"',
            b'permessage-deflate; a="1,2"',
        ]:
            self.assertEqual(self.offers(offer), b"", offer)


class HandshakeFieldsTests(SynchronousTestCase):
    def test_provider_is_asked_as_the_rfc_says(self) -> None:
        """Subprotocols and extensions are offered only where the agent offered some."""
        bare = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Key", KEY),
        ]
        self.assertEqual(handshake_fields(KEY, [], b""), bare)
        self.assertEqual(
            handshake_fields(KEY, [b"a", b"b"], b"permessage-deflate"),
            [
                *bare,
                (b"Sec-WebSocket-Protocol", b"a, b"),
                (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
            ],
        )
