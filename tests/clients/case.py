"""A test in which somebody else's client, a program of its own, talks through the proxy."""

from typing import Any

from tests.kit.running import told
from tests.squid.proxy import PLACEHOLDER, Known, SquidCase


class ClientCase(SquidCase):
    """Clients are run as programs, so that their threads and event loops stay out of here."""

    timeout = 300

    async def tell(self, module: str, turn: str, *more: str) -> Any:
        """What a module beside this one prints when it is run as a program.

        Args:
            module: its name.
            turn: what it is to do.
            more: further arguments.
        """
        name = f"tests.clients.{module}"
        return await told(self.reactor, name, turn, *more)

    def environ(self) -> dict[str, str]:
        """As usual, but what the provider is asked is the client's alone."""
        return {**super().environ(), "APIPROXY_VALIDATE_KEYS": "off"}

    def url(self, known: Known, path: str = "", scheme: str = "http") -> str:
        """Where a client finds a provider."""
        return f"{scheme}://127.0.0.1:{self.proxy.port(known.name)}{path}"

    def isolated(self, known: Known, count: int) -> None:
        """See that the provider got so many requests, all with the real key only."""
        self.assertEqual(len(self.provider.requests), count)
        for request in self.provider.requests:
            keys = [
                value for name, value in request.fields if name.lower() == known.header
            ]
            self.assertEqual(keys, [known.credential])
            self.assertNotIn(PLACEHOLDER.encode(), request.head + bytes(request.body))
        for line in self.proxy.raw:
            self.assertNotIn(PLACEHOLDER.encode(), line)
            self.assertNotIn(known.key.encode(), line)
