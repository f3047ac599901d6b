"""Byte exactness is looked for with care: what differs is found, what may differ is not."""

from twisted.trial.unittest import SynchronousTestCase

from tests.agents.exact import Sent, differences, read
from tests.kit.frames import frame

_HEAD = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\nAuthorization: Bearer p\r\n"
_WS = b"GET /v1/x?key=p&a=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"


def _post(body: bytes, head: bytes = _HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _chunked(*pieces: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


class ReadTests(SynchronousTestCase):
    def test_requests_follow_each_other(self) -> None:
        """Bodies with a length and in chunks, and one that has not come to its end."""
        data = _post(b"one") + _chunked(b"tw", b"o") + _post(b"three")[:-1]
        self.assertEqual([each.body for each in read(data, False)], [b"one", b"two"])
        for end in range(len(_chunked(b"x" * 20))):
            self.assertEqual(list(read(_chunked(b"x" * 20)[:end], False)), [])

    def test_frames_follow_an_upgrade(self) -> None:
        """Each with its first byte, its mask taken off; pings and Closes are left out."""
        payloads = (b"short", b"m" * 300, b"l" * 70_000)
        data = b"".join(frame(1, each, mask=b"abcd") for each in payloads)
        data = _WS + frame(9, b"ping", mask=b"abcd") + data
        (sent,) = read(data + frame(1, b"half", mask=b"abcd")[:-1], True)
        self.assertEqual(sent.frames, tuple((0x81, each) for each in payloads))

    def test_no_frames_without_a_101(self) -> None:
        """An upgrade that was refused is a request like others."""
        (sent, after) = read(_WS + _post(b"one"), False)
        self.assertEqual((sent.frames, after.body), ((), b"one"))


class DifferencesTests(SynchronousTestCase):
    def compare(self, agent: bytes, provider: bytes, upgraded: bool = False) -> str:
        """The words about two connections."""
        sides = [list(read(each, upgraded)) for each in (agent, provider)]
        return " / ".join(differences(sides[0], sides[1]))

    def test_documented_changes_are_none(self) -> None:
        """Another host, framing and credential, and no key in the query."""
        head = _HEAD.replace(b"Host: a", b"Host: b").replace(b"Bearer p", b"Bearer k")
        self.assertEqual(self.compare(_chunked(b"one"), _post(b"one", head)), "")
        agent = _WS.replace(b"?key=p&a=1", b"?key=p")
        provider = _WS.replace(b"?key=p&a=1", b"")
        self.assertEqual(self.compare(agent, provider, upgraded=True), "")
        live = _WS.replace(b"/v1/x?key=p&a=1", b"/ws/google.x")
        agent = live.replace(b" /ws", b" //ws")
        self.assertEqual(self.compare(agent, live, upgraded=True), "")

    def test_a_slash_is_lost_in_no_other_path(self) -> None:
        """Only the one that Google's SDK has too many."""
        agent = _WS.replace(b" /v1/x?key=p&a=1", b" //v1/x")
        provider = agent.replace(b" //v1", b" /v1")
        self.assertNotEqual(self.compare(agent, provider, upgraded=True), "")

    def test_an_unanswered_request_is_none(self) -> None:
        """What apiproxy has answered itself never reaches the provider."""
        self.assertEqual(self.compare(_post(b"one") + _post(b"two"), _post(b"two")), "")

    def test_anything_else_is_one(self) -> None:
        """A body, a header line, its case and order, a frame, a request of nobody's."""
        for agent, provider, words in (
            (_post(b"one"), _post(b"two"), "body"),
            (_post(b""), _post(b"").replace(b"X-Own", b"x-own"), "header: lost"),
            (_post(b""), _post(b"").replace(b"X-Own: 1", b"X-Own: 1\r\nY: 2"), "new"),
            (b"", _post(b""), "was sent by nobody"),
        ):
            self.assertIn(words, self.compare(agent, provider))
        one, two = (frame(1, each, mask=b"abcd") for each in (b"one", b"two"))
        base = Sent(b"GET / HTTP/1.1", [], b"")
        self.assertEqual(differences([base], [base]), [])
        words = self.compare(_WS + one, _WS + two, upgraded=True)
        self.assertIn("frames", words)

    def test_a_message_that_was_refused_is_none(self) -> None:
        """As many as were refused; what came has come in order."""
        sent = tuple((0x81, each) for each in (b"one", b"two", b"three"))
        head = b"GET / HTTP/1.1"
        for got, refused, well in (
            (sent[:2], 1, True),
            (sent[::2], 1, True),
            (sent[:1], 1, False),
            (sent[:2], 0, False),
            (sent[1::-1], 1, False),
        ):
            agent, provider = (Sent(head, [], b"", frames) for frames in (sent, got))
            found = differences([agent], [provider], refused)
            self.assertEqual(not found, well, (got, refused))

    def test_a_line_may_be_added_where_the_provider_needs_it(self) -> None:
        """Only if the agent had none."""
        host, line = b"Host: api.anthropic.com", b"anthropic-version: "
        new = _post(b"").replace(b"Host: a", host + b"\r\n" + line + b"2023-06-01")
        old = _post(b"").replace(b"Host: a", b"Host: a\r\n" + line + b"2026-10-21")
        self.assertEqual(self.compare(_post(b""), new), "")
        self.assertIn("lost", self.compare(old, new))
