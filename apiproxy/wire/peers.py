"""Who holds how many connections: one address must not take the places of all others."""

from twisted.internet.interfaces import IAddress


class Peers:
    """Connections of agents by IP address, in one process; WebSockets are among them.

    It is as large as there are addresses with a connection, so the limit of all connections
    is its own, too.
    """

    __slots__ = ("_connections",)

    def __init__(self) -> None:
        self._connections: dict[str, int] = {}

    def full(self, peer: str, most: int) -> bool:
        """Whether this address has as many as it may."""
        return self._connections.get(peer, 0) >= most

    def came(self, peer: str) -> None:
        """One connection more."""
        self._connections[peer] = self._connections.get(peer, 0) + 1

    def left(self, peer: str) -> None:
        """One connection fewer."""
        rest = self._connections.get(peer, 0) - 1
        if rest > 0:
            self._connections[peer] = rest
        else:
            self._connections.pop(peer, None)

    def __repr__(self) -> str:
        return f"<Peers {len(self._connections)} addresses>"


def address_of(address: IAddress | None) -> str:
    """The IP address; empty for a Unix socket, and if nobody knows."""
    host: object = getattr(address, "host", "")
    return host if isinstance(host, str) else ""
