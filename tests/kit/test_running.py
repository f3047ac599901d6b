"""Programs that run beside a test."""

import sys
from collections.abc import Sequence

from tests.kit.case import LoopbackCase
from tests.kit.running import (
    Program,
    ProgramFailed,
    Service,
    plain_environment,
    ran,
    told,
)


class ProgramTests(LoopbackCase):
    def python(self, code: str, more: Sequence[str] = ()) -> Program:
        """A program of a few words."""
        environ = {"WORD": "hello"}
        return Program(self.reactor, [sys.executable, "-c", code, *more], environ)

    async def test_one_that_ends(self) -> None:
        """Its exit code and all that it said; there is nothing for it to read."""
        code = """
import os, sys
print(os.environ["WORD"], sys.argv[1], repr(sys.stdin.read()))
print("oh", file=sys.stderr)
sys.exit(3)
"""
        end = await ran(self.python(code, ["world"]))
        self.assertEqual((end.code, end.out, end.err), (3, "hello world ''\n", "oh\n"))

    async def test_one_that_does_not_end(self) -> None:
        """It is killed with the test; what it said can be waited for."""
        program = await self.started(
            self.python("import time; print('up', flush=True); time.sleep(1000)")
        )
        while program.out != b"up\n":
            await program.changed()
        await program.stop()
        self.assertEqual(program.code, -9)
        self.assertIn("up", program.words())
        with self.assertRaises(ProgramFailed):
            await program.changed()

    async def test_what_a_module_prints(self) -> None:
        """Read as JSON; a failure brings its words along."""
        with self.assertRaisesRegex(ProgramFailed, "No module named"):
            await told(self.reactor, "tests.kit.nothing_of_the_kind")

    def test_the_environment_is_plain(self) -> None:
        """No proxy and no key of whoever runs the tests."""
        self.assertLessEqual(
            set(plain_environment()),
            {"PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV"},
        )


class ServiceTests(LoopbackCase):
    async def test_it_serves_and_stops(self) -> None:
        """Every provider has a port; a stop is a clean one."""
        service = await self.started(
            Service(self.reactor, {"APIPROXY_GRACE_SECONDS": "0"})
        )
        names = ("openai", "anthropic", "copilot", "gemini", "opencode", "vertex")
        ports = [service.port(name) for name in names]
        self.assertEqual(len(set(ports)), len(names))
        await service.stop()
        self.assertEqual(service.code, 0)
        self.assertEqual(service.lines[-1]["event"], "shutdown")

    async def test_one_that_cannot_start(self) -> None:
        """Its words say why."""
        service = Service(self.reactor, {"HTTPS_PROXY": "nonsense://"})
        with self.assertRaisesRegex(ProgramFailed, "HTTPS_PROXY"):
            await self.started(service)
