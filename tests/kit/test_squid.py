"""The real Squid of the kit lets through what it should, and says what it did."""

from base64 import b64encode
from pathlib import Path
from unittest import mock

from tests.kit import squid as kit
from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase
from tests.kit.ports import free_port
from tests.kit.provider import Provider, events
from tests.kit.squid import LogLine, Squid, SquidBroken, squid_missing
from tests.kit.tls import authority


class SquidMissingTests(LoopbackCase):
    async def test_a_machine_without_squid_is_told_what_to_install(self) -> None:
        with mock.patch.object(kit, "SQUID", Path("/nowhere/squid")):
            self.assertIn("apt-get install squid", squid_missing() or "")


class SquidTests(LoopbackCase):
    skip = squid_missing()

    async def test_a_request_goes_through_squid(self) -> None:
        provider = await self.started(
            Provider(self.reactor, authority().identity().options())
        )
        provider.on(b"/v1/responses", events(3))
        squid = await self.started(Squid(self.reactor, [provider.port]))
        name = f"api.openai.com:{provider.port}"
        agent = await Agent.through(
            self.reactor, squid.port, name, tls=authority().client("api.openai.com")
        )
        agent.ask(b"POST", b"/v1/responses", body=b"{}", host=name.encode())
        response = await agent.response()
        self.assertEqual((response.status, len(response.chunks)), (200, 4))
        self.assertEqual(provider.connections[0].server_name, b"api.openai.com")
        agent.end()
        await provider.left()
        (line,) = await squid.logged()
        self.assertEqual(
            (line.status, line.method, line.authority, line.outcome),
            (200, "CONNECT", name, "TCP_TUNNEL"),
        )
        self.assertGreater(line.bytes_up, 0)
        self.assertGreater(line.bytes_down, 0)

    async def test_what_is_not_allowed_is_refused(self) -> None:
        squid = await self.started(Squid(self.reactor, [443], allow=["api.openai.com"]))
        for authority_ in ("evil.example:443", "api.openai.com:444", "127.0.0.1:443"):
            agent = await Agent.connect(self.reactor, squid.port)
            response = await agent.connect_method(authority_)
            self.assertEqual(response.status, 403, authority_)
            agent.end()
            await agent.gone()
        self.assertEqual(
            [(line.status, line.outcome) for line in await squid.logged(3)],
            [(403, "TCP_DENIED")] * 3,
        )

    async def test_names_without_an_address_and_dead_ports_are_503(self) -> None:
        closed = free_port()
        squid = await self.started(
            Squid(
                self.reactor,
                [closed],
                allow=["api.openai.com", "nowhere.example"],
                hosts={"nowhere.example": "127.0.0.99"},
            )
        )
        for name in ("api.openai.com", "nowhere.example"):
            agent = await Agent.connect(self.reactor, squid.port)
            response = await agent.connect_method(f"{name}:{closed}")
            self.assertEqual(response.status, 503)
            agent.end()
            await agent.gone()

    async def test_it_can_ask_for_a_password(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        squid = await self.started(
            Squid(self.reactor, [provider.port], user=("agent", "p:w@d"))
        )
        self.assertEqual(squid.url, f"http://agent:p%3Aw%40d@127.0.0.1:{squid.port}")
        name = f"api.openai.com:{provider.port}"
        agent = await Agent.connect(self.reactor, squid.port)
        response = await agent.connect_method(name)
        self.assertEqual(response.status, 407)
        self.assertIn(b"Basic", response.get(b"proxy-authenticate") or b"")
        agent.end()
        await agent.gone()
        for password, status in ((b"wrong", 407), (b"p:w@d", 200)):
            secret = b64encode(b"agent:" + password)
            agent = await Agent.connect(self.reactor, squid.port)
            response = await agent.connect_method(
                name, [(b"Proxy-Authorization", b"Basic " + secret)]
            )
            self.assertEqual(response.status, status)
            agent.end()
            await agent.gone()

    async def test_an_idle_tunnel_ends_after_read_timeout(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        squid = await self.started(Squid(self.reactor, [provider.port], read_timeout=1))
        agent = await Agent.through(
            self.reactor, squid.port, f"api.openai.com:{provider.port}"
        )
        await provider.connected()
        await agent.gone()
        await provider.left()

    async def test_it_can_be_killed_and_come_back_on_the_same_port(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        squid = await self.started(Squid(self.reactor, [provider.port]))
        name = f"api.openai.com:{provider.port}"
        agent = await Agent.through(self.reactor, squid.port, name)
        self.assertEqual(squid.url, f"http://127.0.0.1:{squid.port}")
        await squid.kill()
        self.assertFalse(squid.running)
        await agent.gone()
        await provider.left()
        port = squid.port
        await squid.restart()
        self.assertEqual(squid.port, port)
        agent = await Agent.through(self.reactor, port, name)
        agent.ask()
        self.assertEqual((await agent.response()).status, 200)
        agent.end()
        await agent.gone()
        before = await squid.logged()
        self.assertIsInstance(before[-1], LogLine)
        await squid.restart()
        self.assertEqual(squid.log(), before)

    async def test_a_configuration_that_is_wrong_is_said(self) -> None:
        squid = Squid(self.reactor, [443], extra="no_such_directive on\nacl x nonsense")
        with self.assertRaises(SquidBroken) as caught:
            await squid.start()
        self.assertIn("nonsense", str(caught.exception))
        self.assertFalse(squid.folder.exists())

    async def test_nothing_is_left_after_it(self) -> None:
        squid = Squid(self.reactor, [443])
        await squid.start()
        self.assertTrue((squid.folder / "squid.conf").exists())
        await squid.stop()
        self.assertFalse(squid.folder.exists())
        await squid.stop()
