"""Certificates of every kind, shown to a client that verifies."""

import ssl

from OpenSSL import SSL
from twisted.internet.ssl import TLSVersion

from tests.kit.agent import Agent
from tests.kit.case import LoopbackCase
from tests.kit.line import Gone
from tests.kit.provider import Provider
from tests.kit.tls import HOSTS, Identity, authority


class AuthorityTests(LoopbackCase):
    async def ask(self, identity: Identity, **options: TLSVersion) -> int:
        provider = Provider(self.reactor, identity.options(**options))
        await self.started(provider)
        agent = await Agent.connect(
            self.reactor, provider.port, tls=authority().client("api.anthropic.com")
        )
        agent.ask()
        status = (await agent.response()).status
        agent.end()
        await provider.left()
        return status

    async def test_good_certificates_are_accepted(self) -> None:
        for identity in (
            authority().identity(),
            authority().identity("api.anthropic.com"),
            authority().intermediate(),
        ):
            self.assertEqual(await self.ask(identity), 200)

    async def test_bad_certificates_are_refused(self) -> None:
        for identity in (
            authority().wrong_name(),
            authority().expired(),
            authority().not_yet_valid(),
            authority().stranger(),
            authority().self_signed(),
            authority().intermediate(complete=False),
        ):
            with self.assertRaises(Gone):
                await self.ask(identity)

    async def test_old_tls_can_be_all_a_server_speaks(self) -> None:
        identity = authority().identity()
        self.assertEqual(await self.ask(identity, highest=TLSVersion.TLSv1_2), 200)
        with self.assertRaises(Gone):
            await self.ask(identity, highest=TLSVersion.TLSv1_1)

    async def test_alpn_is_negotiated(self) -> None:
        provider = await self.started(
            Provider(self.reactor, authority().identity().options())
        )
        agent = await Agent.connect(
            self.reactor,
            provider.port,
            tls=authority().client("127.0.0.1", protocols=(b"h2", b"http/1.1")),
        )
        self.assertEqual(agent.alpn, b"http/1.1")
        agent.end()
        await agent.gone()

    async def test_everything_is_made_once_and_readable_as_pem(self) -> None:
        self.assertIs(authority(), authority())
        identity = authority().identity(*HOSTS)
        self.assertIs(identity, authority().identity(*HOSTS))
        self.assertEqual(identity.key.stat().st_mode & 0o777, 0o600)
        self.assertIsInstance(identity.context(), ssl.SSLContext)
        client = ssl.create_default_context()
        client.load_verify_locations(authority().pem)
        authority().trust(client)
        authority().trust(SSL.Context(SSL.TLS_METHOD))
