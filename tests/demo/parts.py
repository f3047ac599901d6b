"""What tests of the demonstration have in common."""

import re
from io import StringIO
from typing import cast

from apiproxy.demo import stage as stage_module
from apiproxy.demo.screen import Screen
from apiproxy.demo.stage import Stage
from apiproxy.demo.story import Show
from apiproxy.wire.reactor import Reactor
from tests.kit.case import LoopbackCase

TUNNEL = re.compile(r"CONNECT api\.openai\.com:[0-9]+")


class StageCase(LoopbackCase):
    """A test with a stage, and with what is shown on it.

    Attributes:
        loop: the reactor, as the demonstration wants it.
        stage: not built yet.
        text: what was shown.
    """

    def setUp(self) -> None:
        """Make the stage."""
        super().setUp()
        # Others may be testing on this machine, and want the usual ports.
        self.patch(stage_module, "_is_free", lambda port: False)
        self.loop = cast(Reactor, self.reactor)
        self.stage = Stage(self.loop)
        self.text = StringIO()
        self.screen = Screen(self.text)

    async def built(self) -> Stage:
        """Build it without Squid; it is cleared after the test."""
        self.addCleanup(self.ended, self.stage.clear)
        await self.stage.build(stand_in=True)
        return self.stage

    @property
    def show(self) -> Show:
        """The whole demonstration."""
        return Show(self.loop, self.stage, self.screen)
