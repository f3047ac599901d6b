"""Which requests a port answers itself.

Everything else belongs to the provider, so the rule is narrow: the exact target, no query,
and GET or HEAD, which the listener sees to. ``POST /health`` or ``/health?x`` is the
provider's.
"""

from collections.abc import Sequence

from attrs import frozen

from apiproxy.admin.answer import LocalEndpoint
from apiproxy.admin.health import ProviderHealth
from apiproxy.providers.base import Provider


@frozen(kw_only=True)
class Shared:
    """The endpoints that are the same wherever they are asked for.

    Attributes:
        health: of the whole process.
        reflect: what is offered.
        metrics: the figures.
    """

    health: LocalEndpoint
    reflect: LocalEndpoint
    metrics: LocalEndpoint


def management(providers: Sequence[Provider]) -> Provider | None:
    """The provider whose listener answers for the whole process.

    OpenAI's if it listens, else the first that does; None if none does.
    """
    listening = [
        provider
        for provider in providers
        if provider.port is not None or provider.socket is not None
    ]
    named = [provider for provider in listening if provider.name == "openai"]
    return next(iter(named + listening), None)


def local_answers(
    provider: Provider, shared: Shared, *, manages: bool
) -> dict[bytes, LocalEndpoint]:
    """What the port of this provider answers itself.

    Args:
        provider: whose port.
        shared: the endpoints of the process.
        manages: whether this is the port of the ``management`` provider.

    Returns:
        Endpoints by exact request target.
    """
    if manages:
        return {
            b"/health": shared.health,
            b"/reflect": shared.reflect,
            b"/metrics": shared.metrics,
        }
    return {b"/health": ProviderHealth(provider), b"/reflect": shared.reflect}
