"""The demonstration's house."""

import socket
from pathlib import Path

from apiproxy.demo import stage as module
from apiproxy.demo.screen import DemoFailed
from tests.demo.parts import StageCase

IS_FREE = module._is_free


class StageTests(StageCase):
    async def test_squid_is_not_installed(self) -> None:
        """Then the stand-in says so."""
        self.patch(module, "find_squid", lambda: None)
        self.addCleanup(self.ended, self.stage.clear)
        await self.stage.build(stand_in=False)
        self.assertIn("none is installed", self.stage.proxy.what)

    async def test_squid_does_not_start(self) -> None:
        """Then this is remarked, and the stand-in takes its place."""
        self.patch(module, "find_squid", lambda: "/bin/false")
        self.addCleanup(self.ended, self.stage.clear)
        await self.stage.build(stand_in=False)
        self.assertIn("it does not start", self.stage.proxy.what)
        self.assertIn("/bin/false does not start here", self.stage.remarks[0])

    async def test_ports_in_use(self) -> None:
        """A free port is taken instead, which is remarked."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            self.patch(module, "_is_free", lambda port: port != 10003 and port > taken)
            stage = await self.built()
        self.assertEqual(
            stage.remarks,
            [
                "in use by others, so free ports instead of: "
                + ", ".join(map(str, range(10000, 10006)))
            ],
        )
        self.assertEqual(
            list(stage.ports),
            ["openai", "anthropic", "copilot", "gemini", "opencode", "vertex"],
        )
        self.assertFalse(set(stage.ports.values()) & set(range(10000, 10006)))

    async def test_is_free(self) -> None:
        """A port is looked at by listening on it."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.assertFalse(IS_FREE(port))
        self.assertTrue(IS_FREE(port))

    async def test_a_port_is_taken_late(self) -> None:
        """Between looking and listening somebody else may come."""
        self.patch(module, "_is_free", lambda port: True)
        self.addCleanup(self.ended, self.stage.clear)
        with socket.create_server(("127.0.0.1", 0)) as other:
            environment = self.stage._environment

            def with_port(key: object, path: Path) -> dict[str, str]:
                made = environment(key, path)  # type: ignore[arg-type]
                ports = {
                    f"APIPROXY_{name}_PORT": "0"
                    for name in ("OPENAI", "ANTHROPIC", "COPILOT", "GEMINI", "OPENCODE")
                }
                taken = str(other.getsockname()[1])
                return made | ports | {"APIPROXY_VERTEX_PORT": taken}

            self.patch(self.stage, "_environment", with_port)
            with self.assertRaisesRegex(DemoFailed, "no port to listen on: vertex"):
                await self.stage.build(stand_in=True)
