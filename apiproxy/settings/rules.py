"""From settings to rules: what may pass and what it costs, as ``policy.rules`` has it."""

from collections.abc import Callable, Mapping
from typing import Any

from apiproxy.policy.overlay import Overlay
from apiproxy.policy.rules import (
    Budgets,
    Models,
    Places,
    Pricing,
    Rates,
    Rules,
    Steering,
    Weighing,
)

PARTS = {"queue": "places", "weights": "weighing"}
"""Parts of ``Rules`` that are not called like their section of the settings."""

Section = Mapping[str, Any]  # Any: each attribute gives its value a type back


def rules_of(
    sections: Mapping[str, Section], file: Overlay, warn: Callable[[str], None]
) -> Rules:
    """The rules that settings make.

    Args:
        sections: their values, by section and name.
        file: the prices in ``pricing.file``.
        warn: told of what has no effect.
    """
    pricing = dict(sections["pricing"])
    own: Overlay = pricing.pop("overlay")
    for model in own.faults:
        warn(f"APIPROXY_PRICES: the cost of {model} cannot be read")
    rules = Rules(
        rates=Rates(**sections["rates"]),
        places=Places(**sections["queue"]),
        weighing=Weighing(**sections["weights"]),
        budgets=Budgets(**sections["budgets"]),
        models=Models(**sections["models"]),
        pricing=Pricing(overlay=own.over(file), **pricing),
        steering=Steering(**sections["steering"]),
    )
    for sentence in _without_effect(rules):
        warn(sentence)
    return rules


def _without_effect(rules: Rules) -> list[str]:
    found = []
    if not rules.rates.enabled and rules.rates != Rates():
        found.append("APIPROXY_RATE_LIMIT_ENABLED is off: no rate is limited")
    budgets, steering = rules.budgets, rules.steering
    if budgets.ai_credits is not None and budgets.hard:
        found.append(
            "APIPROXY_MAX_AI_CREDITS is above the hard cap, which holds;"
            " see APIPROXY_HARD_CAP_AI_CREDITS"
        )
    if steering.minutes is not None and not steering.enabled:
        found.append(
            "APIPROXY_ENABLE_TOKEN_STEERING is off: nobody is told of the time that ends"
        )
    return found
