"""The scripted proxy does to CONNECT what it is told."""

from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase
from tests.kit.connect import (
    Behaviour,
    ConnectProxy,
    drop,
    hang_up,
    held,
    refuse,
    says,
    silent,
    tunnel,
)
from tests.kit.http import Malformed
from tests.kit.line import Gate, Gone
from tests.kit.provider import Provider, endless, silent as silent_provider
from tests.kit.tls import authority


class ConnectProxyTests(LoopbackCase):
    async def proxy(self, *behaviours: Behaviour) -> ConnectProxy:
        proxy = await self.started(ConnectProxy(self.reactor))
        proxy.then(*behaviours)
        return proxy

    async def provider(self) -> Provider:
        options = authority().identity().options()
        return await self.started(Provider(self.reactor, options))

    async def test_a_tunnel_carries_bytes_both_ways(self) -> None:
        provider = await self.provider()
        proxy = await self.proxy()
        self.assertEqual(proxy.url, f"http://localhost:{proxy.port}")
        proxy.routes["api.openai.com:443"] = provider.port
        for number in (1, 2):
            agent = await Agent.through(
                self.reactor,
                proxy.port,
                "api.openai.com:443",
                tls=authority().client("api.openai.com"),
                fields=[(b"X-Number", b"%d" % number)],
            )
            agent.ask(b"POST", body=b"x" * 2**20)
            self.assertEqual((await agent.response()).json()["length"], 2**20)
            self.assertEqual(proxy.open, 1)
            agent.end()
            await proxy.left()
            await provider.left()
        self.assertEqual(len(proxy.connections), 2)
        self.assertEqual(
            await proxy.asked(2),
            b"CONNECT api.openai.com:443 HTTP/1.1\r\n"
            b"Host: api.openai.com:443\r\nX-Number: 2\r\n\r\n",
        )
        self.assertGreater(proxy.connections[0].carried["up"], 2**20)

    async def test_refusals(self) -> None:
        proxy = await self.proxy(
            *(refuse(status) for status in (403, 407, 502, 503, 504))
        )
        proxy.default = refuse(407, [(b"Proxy-Authenticate", b"Basic")], how=None)
        for status in (403, 407, 502, 503, 504):
            agent = await Agent.connect(self.reactor, proxy.port)
            response = await agent.connect_method("a:443")
            self.assertEqual((response.status, response.complete), (status, True))
            await agent.gone()
        agent = await Agent.connect(self.reactor, proxy.port)
        response = await agent.connect_method("a:443")
        self.assertEqual(response.get(b"proxy-authenticate"), b"Basic")
        self.assertTrue(agent.open)

    async def test_a_port_where_nobody_listens_is_503(self) -> None:
        provider = await self.provider()
        await provider.stop()
        proxy = await self.proxy()
        agent = await Agent.connect(self.reactor, proxy.port)
        response = await agent.connect_method(f"localhost:{provider.port}")
        self.assertEqual(response.status, 503)

    async def test_garbage_and_silence(self) -> None:
        gate = Gate()
        proxy = await self.proxy(
            says(b"220 mail", b".example ESMTP\r\n"),
            hang_up,
            drop(),
            drop("fin"),
            silent(),
            held(gate, refuse(502)),
        )
        expected = [b"220 mail.example ESMTP\r\n", b"", b"", b""]
        for what in expected:
            agent = await Agent.connect(self.reactor, proxy.port)
            agent.write(b"CONNECT a:1 HTTP/1.1\r\n\r\n")
            self.assertEqual(await agent.read_all(), what)
        self.assertEqual(len(proxy.heads), 3)
        agent = await Agent.connect(self.reactor, proxy.port)
        agent.write(b"CONNECT a:1 HTTP/1.1\r\n\r\n")
        await proxy.asked(4)
        self.assertEqual((agent.open, agent.received), (True, b""))
        agent.end()
        await proxy.left()
        agent = await Agent.connect(self.reactor, proxy.port)
        agent.write(b"CONNECT a:1 HTTP/1.1\r\n\r\n")
        await proxy.asked(5)
        gate.open()
        self.assertEqual((await agent.response()).status, 502)

    async def test_bytes_may_follow_the_200_at_once(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        proxy = await self.proxy(tunnel(early=b"too early"), tunnel(pieces=5))
        name = f"localhost:{provider.port}"
        agent = await Agent.through(self.reactor, proxy.port, name)
        self.assertEqual(bytes(agent.received), b"too early")
        agent = await Agent.through(self.reactor, proxy.port, name)
        agent.ask()
        self.assertEqual((await agent.response()).status, 200)

    async def test_a_tunnel_can_break_after_some_bytes(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        provider.on(b"/endless", endless())
        provider.on(b"/silent", silent_provider())
        gate = Gate()
        proxy = await self.proxy(
            tunnel(cut=1000, gate=gate), tunnel(cut=20, direction="up", how="fin")
        )
        name = f"localhost:{provider.port}"
        agent = await Agent.through(self.reactor, proxy.port, name)
        agent.ask(target=b"/endless")
        await agent.read(1000)
        self.assertEqual((agent.open, agent.received), (True, b""))
        gate.open()
        await agent.gone()
        agent = await Agent.through(self.reactor, proxy.port, name)
        agent.ask(target=b"/silent")
        await agent.gone()
        await provider.left()
        self.assertEqual(provider.connections[1].total_received, 20)
        self.assertEqual(len(provider.requests), 1)

    async def test_a_tunnel_presses_back(self) -> None:
        provider = await self.started(Provider(self.reactor, None))
        provider.default = endless()
        proxy = await self.proxy()
        agent = await Agent.through(
            self.reactor, proxy.port, f"localhost:{provider.port}"
        )
        agent.ask()
        request = await provider.asked()
        agent.pause()
        await self.until(lambda: request.line.full)
        agent.end("reset")
        await provider.left()

    async def test_the_proxy_may_want_tls_itself(self) -> None:
        proxy = ConnectProxy(self.reactor, authority().identity().options())
        await self.started(proxy)
        self.assertEqual(proxy.url, f"https://localhost:{proxy.port}")
        provider = await self.started(Provider(self.reactor, None))
        agent = await Agent.connect(
            self.reactor, proxy.port, tls=authority().client("localhost")
        )
        response = await agent.connect_method(f"localhost:{provider.port}")
        self.assertEqual(response.status, 200)
        agent.ask()
        self.assertEqual((await agent.response()).status, 200)
        plain = await Agent.connect(self.reactor, proxy.port)
        plain.write(b"CONNECT a:1 HTTP/1.1\r\n\r\n")
        with self.assertRaises(Gone):
            await plain.read_until(b"\r\n\r\n")

    async def test_what_is_not_a_head_is_an_error_of_the_test(self) -> None:
        proxy = await self.proxy()
        agent = await Agent.connect(self.reactor, proxy.port)
        agent.write(b"CONNECT a:1 HTTP/1.1\r\nbroken\r\n\r\n")
        await agent.gone()
        self.assertEqual(len(self.flushLoggedErrors(Malformed)), 1)
