"""What tests of the demonstration have in common."""

import re
from io import StringIO

from apiproxy.demo.screen import Screen
from apiproxy.demo.stage import Stage
from apiproxy.demo.story import Show
from tests.kit.case import LoopbackCase

TUNNEL = re.compile(r"CONNECT api\.openai\.com:[0-9]+")


class StageCase(LoopbackCase):
    """A test with a stage, and with what is shown on it.

    Attributes:
        stage: not built yet.
        text: what was shown.
    """

    def setUp(self) -> None:
        """Make the stage."""
        super().setUp()
        self.stage = Stage(self.reactor)
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
        return Show(self.reactor, self.stage, self.screen)
