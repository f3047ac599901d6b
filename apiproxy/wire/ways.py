"""From settings to sockets: the endpoint by which each provider is reached."""

import ssl
from functools import partial

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from apiproxy.core.egress import EgressProxy, bracketed
from apiproxy.core.limits import Deadlines
from apiproxy.providers.base import Provider
from apiproxy.wire.failures import translate_tls
from apiproxy.wire.tls import TlsEndpoint, TlsSessions
from apiproxy.wire.tunnel import TunnelEndpoint, tcp


class Ways:
    """Makes the endpoints; all share one trust store and one memory of TLS sessions."""

    def __init__(
        self, reactor: IReactorTime, context: ssl.SSLContext, deadlines: Deadlines
    ) -> None:
        self._reactor = reactor
        self._context = context
        self._deadlines = deadlines
        self._sessions = TlsSessions(reactor.seconds)

    def to(
        self, provider: Provider, proxy: EgressProxy | None
    ) -> IStreamClientEndpoint:
        """The way to a provider, verified TLS and all.

        Args:
            provider: names the host and port.
            proxy: the egress proxy to tunnel through; None to connect directly.
        """
        dial = self._deadlines.dial
        if proxy is None:
            below = tcp(self._reactor, provider.host, provider.host_port, dial)
        else:
            below = TunnelEndpoint(
                self._to_proxy(proxy),
                _authority(provider),
                proxy.authorization,
                self._reactor,
                self._deadlines.connect,
            )
        return self._tls(below, provider.host, to_proxy=False)

    def straight_to(self, host: str, port: int, tls: bool) -> IStreamClientEndpoint:
        """The way to a server of the operator's own, such as Redis, without the proxy."""
        below = tcp(self._reactor, host, port, self._deadlines.dial)
        return self._tls(below, host, to_proxy=False) if tls else below

    def _to_proxy(self, proxy: EgressProxy) -> IStreamClientEndpoint:
        below = tcp(self._reactor, proxy.host, proxy.port, self._deadlines.dial)
        return self._tls(below, proxy.host, to_proxy=True) if proxy.tls else below

    def _tls(
        self, below: IStreamClientEndpoint, host: str, *, to_proxy: bool
    ) -> TlsEndpoint:
        return TlsEndpoint(
            below,
            self._context,
            host,
            self._sessions,
            self._reactor,
            self._deadlines.tls,
            partial(translate_tls, to_proxy=to_proxy),
        )


def _authority(provider: Provider) -> bytes:
    """``host:port`` for CONNECT, which always has the port."""
    return f"{bracketed(provider.host)}:{provider.host_port}".encode("ascii")
