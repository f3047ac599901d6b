"""What this apiproxy offers, for agents that want to find out."""

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from apiproxy.admin.answer import Later, LocalAnswer, after, json_answer
from apiproxy.core.egress import bracketed
from apiproxy.providers.base import Provider

_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  # not bound here  # nosec B104
_MODELS = {
    "openai": "/v1/models",
    "anthropic": "/v1/models",
    "copilot": "/models",
    "gemini": "/v1beta/models",
}
"""Where a provider lists its models; one that is not here has no such list."""


@frozen(kw_only=True)
class Reflect:
    """The endpoints, and what holds for all of them.

    Attributes:
        providers: all of them, in the order in which they are shown.
        version: of apiproxy.
        host: name or address under which agents reach the ports; for the wildcard
            addresses ``localhost`` is shown.
        websocket: whether WebSockets are carried.
        limits: names, with their unit, and values.
        spending: gives further sections about what was spent, now or later.
    """

    providers: Sequence[Provider]
    version: str
    host: str
    websocket: bool
    limits: Mapping[str, float]
    spending: Callable[[], Later[Mapping[str, object]]] = dict

    def render(self, accept: bytes | None) -> Later[LocalAnswer]:
        """The answer, JSON whatever is accepted."""
        return after(self.spending(), self._shown)

    def _shown(self, spending: Mapping[str, object]) -> LocalAnswer:
        return json_answer(
            200,
            {
                "version": self.version,
                "endpoints": [self._endpoint(provider) for provider in self.providers],
                "websocket": self.websocket,
                "limits": self.limits,
                **spending,
            },
        )

    def _endpoint(self, provider: Provider) -> dict[str, object]:
        base = self._base_url(provider)
        models = _models_path(provider)
        return {
            "provider": provider.name,
            "port": provider.port,
            "base_url": base,
            "configured": provider.not_configured() is None,
            "models": None,
            "models_url": None if base is None or models is None else base + models,
        }

    def _base_url(self, provider: Provider) -> str | None:
        if not provider.port:  # none, or whichever was free
            return None
        host = "localhost" if self.host in _WILDCARDS else self.host
        return f"http://{bracketed(host)}:{provider.port}"


def _models_path(provider: Provider) -> str | None:
    path = _MODELS.get(provider.name)
    if provider.name == "copilot":
        return provider.base_path.decode("latin-1").rstrip("/") + "/models"
    return path
