"""Squid, as the demonstration starts it."""

import os
import pwd
import tempfile
from pathlib import Path
from typing import cast

from twisted.python.filepath import FilePath
from twisted.trial.unittest import SkipTest

from apiproxy.demo import squid as module
from apiproxy.demo.squid import Squid, SquidBroken, find_squid
from apiproxy.wire.reactor import Reactor
from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase


class SquidTests(LoopbackCase):
    def setUp(self) -> None:
        """A folder that Squid's user may enter."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="apiproxy-demo-test-", dir="/tmp"))
        self.addCleanup(FilePath(str(self.folder)).remove)

    def squid(self, program: str | None) -> Squid:
        if program is None:
            raise SkipTest("there is no Squid; apt-get install squid")
        made = Squid(
            cast(Reactor, self.reactor), program, self.folder, "api.openai.com:1"
        )
        self.addCleanup(self.ended, made.stop)
        return made

    async def test_one_authority(self) -> None:
        """It allows the demonstration's provider, and nothing else."""
        squid = self.squid(find_squid())
        await squid.start()
        for authority, status in (
            ("api.openai.com:1", 503),  # allowed, but nobody is there
            ("api.openai.com:443", 403),
            ("example.com:1", 403),
        ):
            agent = await Agent.connect(self.reactor, int(squid.url[17:]))
            response = await agent.connect_method(authority)
            self.assertEqual(response.status, status)
            agent.end()
        await self.until(lambda: len(squid.logged()) == 3)
        self.assertEqual(squid.heard()[0], "CONNECT api.openai.com:1")

    async def test_it_does_not_start(self) -> None:
        """Then it is said why, as far as it said so itself."""
        for program, words in (
            ("/bin/false", "it does not listen"),
            ("/bin/ls", "it does not listen"),
        ):
            with self.assertRaisesRegex(SquidBroken, words):
                await self.squid(program).start()
        script = self.folder / "broken"
        script.write_text("#!/bin/sh\necho FATAL: bungled >&2\nexit 1\n")
        script.chmod(0o755)
        with self.assertRaisesRegex(SquidBroken, "FATAL: bungled"):
            await self.squid(str(script)).start()

    async def test_one_that_will_not_go(self) -> None:
        """Who does not hear TERM is killed."""
        script = self.folder / "deaf"
        script.write_text(
            "#!/bin/sh\ntrap '' TERM\nwhile :; do read x </dev/zero; done\n"
        )
        script.chmod(0o755)
        self.patch(module, "_START_SECONDS", 0.1)
        self.patch(module, "_ATTEMPTS", 1)
        squid = self.squid(str(script))
        with self.assertRaises(SquidBroken):
            await squid.start()

    def test_whom_it_becomes(self) -> None:
        """Nobody in particular; without root it stays who it is."""

        def nobody(name: str) -> pwd.struct_passwd:
            raise KeyError(name)

        self.patch(os, "getuid", lambda: 1000)
        squid = self.squid("/bin/false")
        squid._write_files(1)
        text = (self.folder / "squid.conf").read_text()
        self.assertNotIn("cache_effective_user", text)
        self.patch(os, "getuid", lambda: 0)
        self.patch(pwd, "getpwnam", nobody)
        self.assertRaises(SquidBroken, squid._write_files, 1)
