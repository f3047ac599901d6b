"""How a worker learns what to serve by."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.origin import Origin
from apiproxy.workers.beginning import ask
from apiproxy.workers.messages import Begin, Drain, Message, Serve, Tell, encode


def framed(message: Message) -> bytes:
    data = encode(message)
    return len(data).to_bytes(4, "big") + data


class BeginningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.front, self.worker = socket.socketpair()
        self.addCleanup(self.front.close)
        self.addCleanup(self.worker.close)

    def test_it_asks(self) -> None:
        """What comes behind the answer stays where it is."""
        origin = Origin.of({"OPENAI_API_KEY": "k" * 1000}, None)
        serve = Serve(origin, "/a/folder")
        self.front.sendall(framed(serve) + framed(Tell(1)))
        self.assertEqual(ask(self.worker), serve)
        self.assertEqual(self.front.recv(1000), framed(Begin()))
        self.assertEqual(self.worker.recv(1000), framed(Tell(1)))
        self.assertFalse(self.worker.getblocking())

    def test_the_service_ends(self) -> None:
        """Then there is nothing to serve by."""
        self.front.sendall(framed(Drain()))
        self.assertIsNone(ask(self.worker))

    def test_the_front_is_gone(self) -> None:
        """That is an error."""
        self.front.shutdown(socket.SHUT_WR)
        self.assertRaises(OSError, ask, self.worker)
