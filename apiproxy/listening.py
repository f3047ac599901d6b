"""The ports and Unix sockets that are listened on."""

import os
from collections.abc import Callable
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory

from apiproxy.core.egress import bracketed
from apiproxy.providers.base import Provider
from apiproxy.settings.listeners import listen_variables
from apiproxy.wire.reactor import Reactor

AnyFactory: TypeAlias = "ServerFactory[Any]"

_BACKLOG = 1024


class PortTaken(Exception):
    """A port or socket that should be listened on is not free."""


class Listening:
    """All that is listened on.

    Attributes:
        ports: each of them.
    """

    def __init__(
        self, reactor: Reactor, opened: Callable[[Provider, str], None]
    ) -> None:
        """Listen on nothing yet.

        Args:
            reactor: provides the sockets.
            opened: told of each port or socket: whose, and its address as it is shown.
        """
        self.ports: list[IListeningPort] = []
        self._reactor = reactor
        self._opened = opened

    def open(
        self, provider: Provider, addresses: tuple[str, ...], factory: AnyFactory
    ) -> None:
        """Listen where a provider's agents come.

        Args:
            provider: whose.
            addresses: IP addresses that its port listens on.
            factory: gets the connections.

        Raises:
            PortTaken: something else listens there.
        """
        port_variable, socket_variable = listen_variables(provider.name)
        variable = port_variable
        try:
            if provider.port is not None:
                for address in addresses:
                    port = self._reactor.listenTCP(
                        provider.port, factory, backlog=_BACKLOG, interface=address
                    )
                    self._note(provider, port)
            variable = socket_variable
            if provider.socket is not None:
                # Who may open it is decided by the directory it stands in.
                port = self._reactor.listenUNIX(
                    provider.socket, factory, mode=0o666, wantPID=True
                )
                self._note(provider, port)
        except CannotListenError as error:
            problem = f"{provider.name}: {error} {variable} names another place."
            raise PortTaken(problem) from error

    def _note(self, provider: Provider, port: IListeningPort) -> None:
        self.ports.append(port)
        self._opened(provider, shown_address(port.getHost()))

    async def close(self) -> None:
        """Listen no more."""
        ports, self.ports = self.ports, []
        for port in ports:
            closing: object = port.stopListening()
            if isinstance(closing, Deferred):
                await closing


def shown_address(address: object) -> str:
    """An address as people write it."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        return os.fsdecode(getattr(address, "name", b""))
    return f"{bracketed(host)}:{port}"
