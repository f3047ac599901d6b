"""Tests of bench.glance: streams that are read without being timed."""

import itertools
import socket

from twisted.trial.unittest import SynchronousTestCase

from bench import speech
from bench.client import is_timed
from bench.glance import Glance, note_last
from bench.talk import Talk


class GlanceTests(SynchronousTestCase):
    def stream(self, glance: Glance) -> tuple[socket.socket, Talk]:
        far, near = socket.socketpair()
        self.addCleanup(far.close)
        self.addCleanup(near.close)
        near.setblocking(False)
        talk = Talk(near)
        glance.talks.append(talk)
        return far, talk

    def test_last_event_is_found_wherever_the_bytes_are_cut(self) -> None:
        """A stream that stands still is found out by it."""
        data = b"".join(speech.EVENT_CHUNK % due for due in (1000, 2000, 3000))
        for cut in range(len(data)):
            talk = Talk(socket.socket())
            note_last(talk, data[:cut])
            note_last(talk, data[cut:])
            talk.sock.close()
            self.assertEqual(talk.due, 3000)

    def test_each_is_read_several_times_a_second(self) -> None:
        """And nothing waits for long in the kernel."""
        glance = Glance()
        streams = [self.stream(glance) for _ in range(7)]
        for far, _ in streams:
            far.sendall(speech.EVENT_CHUNK % 1000)
        for now in range(0, 200_000, 1000):
            glance.turn(now)
        self.assertEqual([talk.due for _, talk in streams], [1000] * 7)

    def test_lost_ones_are_counted(self) -> None:
        """Once each; what they brought before counts no more."""
        glance = Glance()
        (far, _), (_, other) = self.stream(glance), self.stream(glance)
        far.close()
        glance.all()
        glance.all()
        self.assertEqual((glance.lost, list(glance.talks)), (1, [other]))
        self.assertEqual((glance.close(), glance.lost), (1, 0))
        glance.turn(0)

    def test_timed_streams_lie_evenly_among_all(self) -> None:
        """As many as asked for, or all."""
        for count, timed in ((512, 64), (100, 64), (50, 64), (7, 3), (9, 0)):
            chosen = [n for n in range(count) if is_timed(n, count, timed)]
            self.assertEqual(len(chosen), min(count, timed or count))
            gaps = {b - a for a, b in itertools.pairwise(chosen)}
            self.assertLessEqual(max(gaps) - min(gaps), 1)
