"""The line between front and worker."""

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers.line import Channel, OneConnection
from apiproxy.workers.messages import Drain, Message, Tell, encode
from tests.kit.workers import sent


class ChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[Message] = []
        self.lost: list[str] = []
        self.channel = Channel(
            {Tell: self.heard.append, Drain: self.breaks},
            lambda: self.lost.append("lost"),
        )
        self.transport = StringTransport()

    def breaks(self, message: Message) -> None:
        raise ZeroDivisionError

    def connect(self) -> None:
        channel = OneConnection(self.channel).buildProtocol(None)
        self.assertIs(channel, self.channel)
        self.channel.makeConnection(self.transport)

    def test_messages(self) -> None:
        """They go out whole, and come in however they are cut."""
        self.connect()
        self.channel.send(Tell(7))
        data = self.transport.value()
        for at in range(len(data)):
            self.channel.dataReceived(data[at : at + 1])
        self.assertEqual((sent(self.channel), self.heard), ([Tell(7)], [Tell(7)]))

    def test_nobody_to_hear(self) -> None:
        """What is said before and after the connection is forgotten."""
        self.channel.send(Tell(1))
        self.connect()
        self.channel.connectionLost()
        self.channel.send(Tell(2))
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(self.lost, ["lost"])

    def test_nonsense_costs_no_process(self) -> None:
        """Neither does a message that cannot be acted on; both are reported as bugs."""
        self.connect()
        self.channel.stringReceived(b"\xc1")
        self.channel.stringReceived(encode(Drain()))
        self.assertEqual(len(self.flushLoggedErrors()), 2)
        self.channel.stringReceived(encode(Tell(1)))
        self.assertEqual(self.heard, [Tell(1)])

    def test_hanging_up(self) -> None:
        """It is over when the other side has it all, or after a second."""
        clock = Clock()
        self.successResultOf(self.channel.close(clock))
        self.connect()
        closing = self.channel.close(clock)
        self.assertTrue(self.transport.disconnecting)
        self.assertNoResult(closing)
        self.channel.connectionLost()
        self.successResultOf(closing)

    def test_hanging_up_on_somebody_who_does_not_listen(self) -> None:
        """That is not waited for."""
        clock = Clock()
        self.connect()
        closing = self.channel.close(clock)
        clock.advance(1)
        self.successResultOf(closing)

    def test_its_factory_says_nothing(self) -> None:
        """Twisted would log that it begins."""
        self.assertTrue(Factory.noisy)
        self.assertFalse(OneConnection.noisy)
