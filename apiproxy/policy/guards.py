"""Which models may be used: patterns, a cap on multipliers, what is retired or unpriced.

The rules look at what makes a model work, never at ``GET /models``. Where one is set and the
model cannot be read, nothing passes: a body that we cannot read may well be one that the
provider can.
"""

from collections.abc import Iterator, Sequence

from apiproxy.core.errors import (
    BodyUnreadable,
    ModelRefused,
    ModelRetired,
    MultiplierExceeded,
    MultiplierUnknown,
    PriceUnknown,
    ProxyError,
)
from apiproxy.core.grant import Grant
from apiproxy.core.patterns import fits
from apiproxy.core.usage import Demand
from apiproxy.policy.names import LONGEST, plain
from apiproxy.policy.prices import Prices
from apiproxy.policy.rules import Rules
from apiproxy.policy.weights import ONE, Weights

RETIRED = {"gpt-5-codex": "gpt-5.3-codex"}
"""Models that providers have taken away, and what to use instead."""

_AUTO = "auto"


class ModelGuard:
    """Decides by the model that is asked for."""

    def __init__(self, rules: Rules, weights: Weights, prices: Prices) -> None:
        self._rules = rules
        self._models = rules.models
        self._weights = weights
        self._prices = prices

    def check(
        self, demand: Demand, provider: str, grant: Grant | None = None
    ) -> ProxyError | None:
        """The refusal; None to let it pass.

        Args:
            demand: what is asked.
            provider: of whom.
            grant: of the caller; None where callers are not told apart.
        """
        if not demand.inference:
            return None
        priced = self._needs_price(grant)
        if priced or self._rules.reads_models:
            refusal = _unreadable(demand)
            if refusal is not None:
                return refusal
        model = demand.model.strip()
        if not model:
            return None
        return (
            self._multiplier(provider, model)
            or _retired(model)
            or self._policy(model)
            or (self._policy(demand.other.strip()) if demand.other else None)
            or (self._price(provider, model) if priced else None)
        )

    def _needs_price(self, grant: Grant | None) -> bool:
        """Whether only models pass whose price is known, or guessed.

        A caller may have a budget of money of its own, where the run has none.
        """
        if self._rules.unknown != "free" or self._rules.pricing.unknown is not None:
            return self._rules.unknown == "refuse"
        return grant is not None and grant.limits("money")

    def _multiplier(self, provider: str, model: str) -> ProxyError | None:
        cap = self._models.max_multiplier
        if cap is None:
            return None
        details = {"model": model, "max_model_multiplier": cap / ONE}
        selected = provider == "copilot" and plain(model) == _AUTO
        if selected and self._weights.exact(_AUTO) is None:
            return MultiplierUnknown(details={**details, "model_multiplier": None})
        multiplier = self._weights.multiplier(model)
        if multiplier <= cap:
            return None
        return MultiplierExceeded(
            f"Model multiplier {multiplier / ONE:g} of {model} exceeds the maximum of"
            f" {cap / ONE:g}; see APIPROXY_MAX_MODEL_MULTIPLIER.",
            details={**details, "model_multiplier": multiplier / ONE},
        )

    def _policy(self, model: str) -> ProxyError | None:
        models = self._models
        allowed = _any(models.allowed, _allowed_forms(model))
        if plain(model) == _AUTO and models.disallowed and not allowed:
            reason = "dynamic_model_unverifiable"
        elif _any(models.disallowed, _refused_forms(model)):
            reason = "disallowed"
        elif models.allowed and not allowed:
            reason = "not_allowed"
        else:
            return None
        return ModelRefused(
            f"Model {model} may not be used here ({reason});"
            " see APIPROXY_ALLOWED_MODELS and APIPROXY_DISALLOWED_MODELS.",
            details={"model": model, "reason": reason},
        )

    def _price(self, provider: str, model: str) -> ProxyError | None:
        if self._prices.quote(provider, model) is not None:
            return None
        return PriceUnknown(
            f"The price of {model} is not known, and there is a budget of AI credits;"
            " put it into APIPROXY_PRICES_FILE, or see APIPROXY_UNKNOWN_MODELS.",
            details={"model": model},
        )


def _unreadable(demand: Demand) -> ProxyError | None:
    """The refusal of what no rule can be applied to."""
    if demand.unreadable:
        why = f"it cannot be read ({demand.unreadable})"
    elif not demand.model.strip():
        why = "it names none"
    elif max(len(demand.model), len(demand.other)) > LONGEST:
        why = f"the name is longer than {LONGEST} characters"
    else:
        return None
    return BodyUnreadable(
        f"There is a rule about models here, and this request's cannot be checked: {why}.",
        details={"reason": demand.unreadable or "no_model"},
    )


def _retired(model: str) -> ProxyError | None:
    instead = RETIRED.get(model.lower())
    if instead is None:
        return None
    return ModelRetired(
        f"Model {model} is retired; use {instead}.",
        details={"model": model, "suggestion": instead},
    )


def _allowed_forms(model: str) -> Iterator[str]:
    """What a pattern of what may pass is compared with: the name as it is sent."""
    model = model.lower()
    yield model
    yield model.partition("?")[0]
    if model.startswith("models/"):
        yield model[len("models/") :]


def _refused_forms(model: str) -> Iterator[str]:
    """What a pattern of what may not pass is compared with: also without decorations.

    A model that was tuned (``ft:gpt-4o:acme::id``) is one of those that it was made of, too.
    """
    yield from _allowed_forms(model)
    last = model.lower().partition("?")[0].rpartition("/")[2]
    yield last
    yield last.partition(":")[0].partition("@")[0]
    name = plain(model)
    yield name
    yield name.removeprefix("ft:")


def _any(patterns: Sequence[str], names: Iterator[str]) -> bool:
    if not patterns:
        return False
    return any(fits(pattern, name) for name in names for pattern in patterns)
