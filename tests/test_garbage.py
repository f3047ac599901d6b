"""What has ended is freed at once: nothing of it waits for the garbage collector.

A ring of objects that know one another is freed only when it is looked for, which is seldom,
and one that lived long enough is looked for next to never. Until then it pins the memory
around it, so that a process which only ever serves the same load grows all the same.
"""

import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.wire.channel import AgentChannel
from apiproxy.wire.request import AgentRequest
from apiproxy.wire.upgrade import Upgrade
from tests.cost.scene import ENDS_SECONDS, NEVER, Scene, uncounted
from tests.cost.units import UNITS


class GarbageTests(SynchronousTestCase):
    """Whole lives over real sockets, each on a tunnel and a TLS session of its own."""

    def left_by(self, live: Callable[[Scene], object]) -> dict[str, int]:
        """The objects that a life leaves in rings, by type."""
        folder = Path(self.mktemp())
        folder.mkdir()
        with patch(ENDS_SECONDS, NEVER):
            scene = Scene(folder)
            self.addCleanup(scene.close)
            self.live(scene, live)  # now all that is made only once has been made
            self.addCleanup(gc.set_debug, gc.get_debug())
            if gc.isenabled():
                self.addCleanup(gc.enable)
            gc.disable()
            gc.collect()
            scene.arrive()
            self.live(scene, live)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
        left, gc.garbage[:] = list(gc.garbage), []
        return Counter(type(each).__qualname__ for each in left)

    def live(self, scene: Scene, live: Callable[[Scene], object]) -> None:
        """What an agent does, until nobody is there any more."""
        live(scene)
        scene.leave()
        scene.proxy.flush()

    def test_requests(self) -> None:
        """Their connection and their line."""
        self.assertEqual(self.left_by(lambda scene: _once("request", scene)), {})

    def test_a_stream_that_the_agent_leaves(self) -> None:
        """Which is how most of them end that do not end by themselves."""
        self.assertEqual(self.left_by(lambda scene: _once("event", scene)), {})

    def test_a_websocket(self) -> None:
        """Both its ends know each other, and the bridge between them."""
        self.assertEqual(self.left_by(lambda scene: _once("frame_up", scene)), {})


class OpenTests(SynchronousTestCase):
    def test_an_open_websocket_keeps_nothing_of_its_request(self) -> None:
        """A thousand of them would keep a megabyte of header lines."""
        folder = Path(self.mktemp())
        folder.mkdir()
        others = {id(each): each for each in _of_requests()}
        scene = Scene(folder)
        self.addCleanup(scene.close)
        _once("frame_up", scene)
        kept = [each for each in _of_requests() if id(each) not in others]
        self.assertEqual(kept, [])


def _of_requests() -> list[object]:
    """What there is in the whole process, of this test and of others."""
    kinds = (AgentRequest, AgentChannel, Upgrade)
    return [each for each in gc.get_objects() if isinstance(each, kinds)]


def _once(unit: str, scene: Scene) -> None:
    UNITS[unit](scene)(uncounted)


_GROWN_OLD = """
import gc
from apiproxy.tap import collect_seldom
imported = [[] for _ in range(100_000)]
collect_seldom()
before = gc.get_stats()[2]["collections"]
kept = [[] for _ in range(1000)]
for _ in range(200_000):
    ring = []
    ring.append(ring)
print(gc.get_stats()[2]["collections"] - before)
"""


class CollectorTests(SynchronousTestCase):
    def test_what_has_grown_old_is_looked_at_too(self) -> None:
        """However much was there when the process began."""
        command = [sys.executable, "-c", _GROWN_OLD]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        self.assertGreater(int(done.stdout), 0)
