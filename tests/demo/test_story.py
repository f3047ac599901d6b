"""The demonstration from beginning to end."""

import sys
from io import BytesIO, TextIOWrapper

from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner

from apiproxy.demo import stage as stage_module, story as module
from apiproxy.demo.conversations import Conversations
from apiproxy.demo.screen import DemoFailed
from apiproxy.demo.story import tell
from tests.demo.parts import StageCase
from tests.kit.agent import Agent


class ShowTests(StageCase):
    def setUp(self) -> None:
        """Conversations are told elsewhere; here they are short."""
        super().setUp()

        async def hold(conversations: Conversations) -> None:
            return None

        self.patch(Conversations, "hold", hold)
        self.triggers: list[object] = []
        self.patch(self.reactor, "addSystemEventTrigger", self.trigger)

    def trigger(self, phase: str, event: str, callable: object) -> None:
        self.assertEqual((phase, event), ("before", "shutdown"))
        self.triggers.append(callable)

    async def test_once(self) -> None:
        """With ``--once`` it ends by itself, and all of it is gone then."""
        await self.show.run(once=True, stand_in=True)
        text = self.text.getvalue()
        self.assertIn(
            "the demo's own small CONNECT proxy, not Squid: as you wished", text
        )
        self.assertTrue(text.endswith("the agent never held a key.\n"))
        self.assertFalse(self.stage._folder.exists())

    async def test_until_it_is_stopped(self) -> None:
        """Otherwise it listens and shows the log until Ctrl-C."""
        self.patch(stage_module, "_is_free", lambda port: False)
        running = Deferred.fromCoroutine(self.show.run(once=False, stand_in=True))
        await self.until(lambda: "log from now on" in self.text.getvalue())
        self.assertIn("note: in use by others", self.text.getvalue())
        agent = await Agent.connect(self.reactor, self.stage.ports["anthropic"])
        agent.ask(target=b"/v1/models")
        self.assertEqual((await agent.response()).status, 403)
        agent.end()
        said = '"error":"provider_not_configured"'
        await self.until(lambda: said in self.text.getvalue())
        (stop,) = self.triggers
        assert callable(stop)
        await stop()
        await running

    async def test_it_fails(self) -> None:
        """What went wrong is said, and the exit code is 1."""

        async def hold(conversations: Conversations) -> None:
            raise DemoFailed("no luck today")

        self.patch(Conversations, "hold", hold)
        begun: list[object] = []
        self.patch(
            globalLogBeginner,
            "beginLoggingTo",
            lambda observers, redirectStandardIO: begun.extend(observers),
        )
        self.patch(sys, "stderr", TextIOWrapper(BytesIO(), "ascii"))
        self.patch(sys, "stdout", TextIOWrapper(BytesIO(), "ascii"))
        with self.assertRaises(SystemExit) as caught:
            await tell(self.loop, True, True)
        self.assertEqual(caught.exception.code, 1)
        sys.stderr.seek(0)
        self.assertEqual(sys.stderr.read(), "apiproxy demo: no luck today\n")
        self.assertEqual(len(begun), 1)
        sys.stdout.seek(0)
        self.assertIn("agent ???????", sys.stdout.read())  # no arrows in ASCII

    async def test_it_breaks(self) -> None:
        """What nobody foresaw is shown with its traceback."""

        async def hold(conversations: Conversations) -> None:
            raise ValueError("unforeseen")

        self.patch(Conversations, "hold", hold)
        self.patch(globalLogBeginner, "beginLoggingTo", lambda *args, **more: None)
        self.patch(sys, "stdout", self.text)
        self.patch(sys, "stderr", self.text)
        with self.assertRaises(SystemExit) as caught:
            await tell(self.loop, True, True)
        self.assertEqual(caught.exception.code, 1)
        self.assertIn(
            "ValueError: unforeseen\napiproxy demo: this is a bug", self.text.getvalue()
        )

    async def test_another_stream(self) -> None:
        """Standard output may be anything that can be written to."""
        self.patch(sys, "stdout", self.text)
        self.patch(globalLogBeginner, "beginLoggingTo", lambda *args, **more: None)
        self.patch(module, "Stage", lambda reactor: self.stage)
        await tell(self.loop, True, True)
        self.assertIn("Three conversations", self.text.getvalue())
