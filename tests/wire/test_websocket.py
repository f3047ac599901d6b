"""The opening handshakes, as Autobahn makes them."""

from typing import Any, cast

import txaio
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import UpstreamMalformed
from apiproxy.core.headers import Special
from apiproxy.wire.websocket import Handshakes
from tests.kit.frames import accept_key
from tests.kit.memory import KEY, MemoryTransport
from tests.kit.sockets import AGENT_ACCEPT, AGENT_KEY, OUR_KEY

GOOD: Special = {
    b"upgrade": [b"WebSocket"],
    b"connection": [b"keep-alive, upgrade"],
    b"sec-websocket-accept": [accept_key(OUR_KEY)],
}


class HandshakeTests(SynchronousTestCase):
    """On a connection, without a listener around it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.handshakes = Handshakes(self.clock)
        self.protocol = Protocol()
        self.line = MemoryTransport(self.protocol)

    def tearDown(self) -> None:
        """Nothing of Autobahn stays behind."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIs(self.line.protocol, self.protocol)
        self.assertIsNone(self.line.producer)
        self.assertEqual((self.line.aborted, self.line.disconnecting), (False, False))

    def judge(self, special: Special, *, offered: bool = False) -> None:
        self.handshakes.judge(self.line, OUR_KEY, offered, special)

    def test_a_101_as_it_should_be(self) -> None:
        """Nothing is written, and nothing said."""
        self.judge(GOOD)
        self.assertEqual(self.line.written, b"")

    def test_deflate(self) -> None:
        """Right if it was offered."""
        special = {**GOOD, b"sec-websocket-extensions": [b"permessage-deflate"]}
        self.judge(special, offered=True)
        self.assertRaises(UpstreamMalformed, self.judge, special)

    def test_what_is_wrong_is_said(self) -> None:
        """In Autobahn's words."""
        special = {**GOOD, b"sec-websocket-accept": [b"no"]}
        error = self.assertRaises(UpstreamMalformed, self.judge, special)
        self.assertIn("The provider's 101 is wrong: ", str(error))
        error = self.assertRaises(UpstreamMalformed, self.judge, {})
        self.assertEqual(self.line.written, b"")

    def test_the_answer_to_the_agent(self) -> None:
        """Only what was agreed, and the lines we were given."""
        self.handshakes.answer(
            self.line,
            {b"sec-websocket-key": [AGENT_KEY.encode()]},
            b"chat",
            b"permessage-deflate; client_no_context_takeover",
            [
                (b"X-A", b"1"),
                (b"X-B", b"\xe9"),
                (b"X-A", b"2"),
                (b"content-length", b"0"),
            ],
        )
        first, *lines = self.line.written.decode().split("\r\n")
        self.assertEqual(first, "HTTP/1.1 101 Switching Protocols")
        self.assertEqual(
            sorted(line for line in lines if line),
            [
                "Connection: Upgrade",
                f"Sec-WebSocket-Accept: {AGENT_ACCEPT}",
                "Sec-WebSocket-Extensions: "
                "permessage-deflate; client_no_context_takeover",
                "Sec-WebSocket-Protocol: chat",
                "Upgrade: WebSocket",
                "X-A: 1",
                "X-A: 2",
            ],
        )

    def test_autobahns_debug_log_has_no_credential(self) -> None:
        """Even if somebody turns it on, for it never sees one."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        logging: Any = txaio  # its names are put in at run time
        self.addCleanup(logging.set_global_log_level, logging.get_global_log_level())
        logging.set_global_log_level("trace")
        self.judge({**GOOD, b"authorization": [KEY]})
        self.handshakes.answer(
            self.line,
            {b"sec-websocket-key": [AGENT_KEY.encode()], b"x-api-key": [KEY]},
            None,
            b"",
            [],
        )
        self.assertNotIn(KEY.decode(), repr(events))
