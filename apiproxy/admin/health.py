"""Whether a provider, and apiproxy as a whole, can serve."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from apiproxy.admin.answer import Later, LocalAnswer, after, json_answer
from apiproxy.core.egress import EgressProxy
from apiproxy.providers.base import Provider


@frozen
class ProviderHealth:
    """Health of one provider: 503 with the reason while it has no credential.

    Attributes:
        provider: whose.
    """

    provider: Provider

    def render(self, accept: bytes | None) -> LocalAnswer:
        """The answer, JSON whatever is accepted."""
        service = f"apiproxy-{self.provider.name}"
        refusal = self.provider.not_configured()
        if refusal is None:
            return json_answer(200, {"status": "healthy", "service": service})
        return json_answer(
            503,
            {"status": "not_configured", "service": service, "error": refusal.message},
        )


class Figures(Protocol):
    """What is told of the whole."""

    @property
    def keys(self) -> Mapping[str, object]:
        """Which keys were accepted at start."""

    def summary(self) -> Mapping[str, int]:
        """A few figures."""


@frozen
class AggregateHealth:
    """Health of the whole: 200 as long as it answers, with what is behind it.

    A container's health check asks this one. That some provider has no key is how it was
    configured, and no reason to be restarted.

    Attributes:
        providers: all of them.
        version: of apiproxy.
        egress: the egress proxy; None if connections are direct.
        figures: gives what is told of the whole, now or later.
        rate_limits: gives how the rate limits stand, by provider; as ``/health`` shows them.
    """

    providers: Sequence[Provider]
    version: str
    egress: EgressProxy | None
    figures: Callable[[], Later[Figures]]
    rate_limits: Callable[[], Mapping[str, object]] = dict

    def render(self, accept: bytes | None) -> Later[LocalAnswer]:
        """The answer, JSON whatever is accepted."""
        return after(self.figures(), self._shown)

    def _shown(self, figures: Figures) -> LocalAnswer:
        return json_answer(
            200,
            {
                "status": "healthy",
                "service": "apiproxy",
                "version": self.version,
                "squid_proxy": self._way_out(),
                "providers": {
                    provider.name: provider.not_configured() is None
                    for provider in self.providers
                },
                "key_validation": figures.keys,
                "metrics_summary": figures.summary(),
                "rate_limits": self.rate_limits(),
            },
        )

    def _way_out(self) -> str:
        return "not configured" if self.egress is None else self.egress.shown
