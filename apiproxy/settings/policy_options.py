"""The table of settings for limits, budgets, prices and models.

The older sidecar's names work beside ours. It took whatever it could not read for nothing, so
that a slip of the pen lifted a limit; here that is a mistake, and only 0 and negative numbers
are what they were there: none, with a warning.
"""

from typing import Any

import msgspec

from apiproxy.policy.overlay import NO_PRICES, read_default, read_overlay
from apiproxy.policy.rules import (
    CREDIT,
    Budgets,
    Places,
    Rates,
    Weighing,
)
from apiproxy.settings.kinds import (
    PATH,
    SWITCH,
    Kind,
    amount,
    count,
    one_of,
    parts,
    seconds,
    whole,
)
from apiproxy.settings.option import Option

_MILLIONTHS = 1_000_000


def _words(text: str) -> tuple[str, ...]:
    """A JSON array of words, or words with commas between them."""
    if not text.startswith("["):
        return tuple(word for part in text.split(",") if (word := part.strip()))
    try:
        words = msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise ValueError("must be a JSON array of names") from None
    return tuple(word for each in words if (word := each.strip()))


PATTERNS = Kind(_words, ",".join)
"""Names of models, with ``*`` for anything."""


def _multipliers(text: str) -> dict[str, int]:
    """A JSON object of numbers, or ``name=number`` with commas between them."""
    must = "must give models numbers, as in gpt-5=2,gpt-5-mini=0.25"
    pairs: dict[str, object] = {}
    if text.startswith("{"):
        try:
            pairs = msgspec.json.decode(text, type=dict[str, object])
        except msgspec.DecodeError:
            raise ValueError("must be a JSON object of numbers") from None
    else:
        for word in _words(text):
            name, _, number = word.partition("=")
            pairs[name.strip()] = number.strip()
    if not all(isinstance(one, str | int | float) for one in pairs.values()):
        raise ValueError(must)
    return {
        name: parts(str(number).strip(), _MILLIONTHS, must, zero=True)
        for name, number in pairs.items()
    }


MULTIPLIERS = Kind(_multipliers, lambda value: "")
"""What tokens of a model count, by its name or the beginning of it."""

PRICE = Kind(read_default)
"""JSON of dollars for a million tokens."""

PRICES = Kind(read_overlay, lambda value: "")
"""JSON of providers, models and dollars for a token."""


def _both(
    name: str,
    key: str,
    kind: Kind,
    default: Any,  # Any: what the kind reads
    doc: str,
) -> Option:
    """A setting that the older sidecar has, too."""
    return Option((f"APIPROXY_{name}", f"AWF_{name}"), key, kind, default, doc)


def _ours(
    name: str, key: str, kind: Kind, default: Any, doc: str
) -> Option:  # Any: same
    return Option((f"APIPROXY_{name}",), key, kind, default, doc)


_RATES = Rates()
_PLACES = Places()
_WEIGHING = Weighing()
_BUDGETS = Budgets()

_HOW_OFTEN = (
    _both(
        "RATE_LIMIT_ENABLED",
        "rates.enabled",
        SWITCH,
        _RATES.enabled,
        "Whether each provider's requests are limited in a time.",
    ),
    _both(
        "RATE_LIMIT_RPM",
        "rates.rpm",
        whole(off=True),
        _RATES.rpm,
        "Requests to one provider in a minute, or off.",
    ),
    _both(
        "RATE_LIMIT_RPH",
        "rates.rph",
        whole(off=True),
        _RATES.rph,
        "Requests to one provider in an hour, or off.",
    ),
    _both(
        "RATE_LIMIT_BYTES_PM",
        "rates.bytes_pm",
        whole(off=True),
        _RATES.bytes_pm,
        "Bytes that agents send to one provider in a minute, or off.",
    ),
    _ours(
        "MAX_CONCURRENT",
        "queue.concurrent",
        count(1),
        None,
        "Exchanges carried at once, in equal parts by all workers; more wait in a fair queue.",
    ),
    _ours(
        "MAX_CONCURRENT_PER_CALLER",
        "queue.per_caller",
        count(1),
        None,
        "The same for one caller.",
    ),
    _ours(
        "MAX_WAITING",
        "queue.waiting",
        count(0),
        _PLACES.waiting,
        "Exchanges that may wait.",
    ),
    _ours(
        "QUEUE_SECONDS",
        "queue.seconds",
        seconds(),
        _PLACES.seconds,
        "Seconds one waits at most.",
    ),
)

_HOW_MUCH = (
    _both(
        "MAX_EFFECTIVE_TOKENS",
        "budgets.tokens",
        amount(1000, whole=True),
        None,
        "Effective tokens of a run: input + 0.1 cached + 4 output, times the multiplier.",
    ),
    _both(
        "MAX_AI_CREDITS",
        "budgets.ai_credits",
        amount(CREDIT),
        None,
        "AI credits of a run; one is $0.01.",
    ),
    _ours(
        "HARD_CAP_AI_CREDITS",
        "budgets.hard_cap",
        amount(CREDIT, off=True),
        _BUDGETS.hard_cap,
        "AI credits that no run may exceed, where requests are looked at before they leave"
        " (docs/budgets.md); off lifts it.",
    ),
    _both(
        "MAX_RUNS",
        "budgets.runs",
        whole(),
        None,
        "Requests to models that are answered with success.",
    ),
    _both(
        "MAX_CACHE_MISSES",
        "budgets.misses",
        whole(),
        None,
        "Answers of one model in a row that read nothing from the provider's cache.",
    ),
    _both(
        "MAX_PERMISSION_DENIED",
        "budgets.denied",
        whole(),
        None,
        "Answers 401 and 403 of one provider.",
    ),
    _ours(
        "FORGIVE_PERMISSION_DENIED",
        "budgets.forgiving",
        SWITCH,
        _BUDGETS.forgiving,
        "Whether a success at a provider forgives what it denied before.",
    ),
    _ours(
        "CUT_OFF",
        "budgets.cut_off",
        SWITCH,
        _BUDGETS.cut_off,
        "Whether an answer that crosses a cap is ended in the middle.",
    ),
    _ours(
        "RESERVE_OUTPUT_TOKENS",
        "budgets.reserve",
        count(1),
        _BUDGETS.reserve,
        "Tokens of output set aside for a request that says no number, at first.",
    ),
    _both(
        "EFFECTIVE_TOKEN_MODEL_MULTIPLIERS",
        "weights.multipliers",
        MULTIPLIERS,
        {},
        "What tokens of models count: `gpt-5=2,gpt-5-mini=0.25`, or a JSON object.",
    ),
    _both(
        "EFFECTIVE_TOKEN_DEFAULT_MODEL_MULTIPLIER",
        "weights.default_multiplier",
        amount(_MILLIONTHS),
        _WEIGHING.default_multiplier,
        "What those of all other models count.",
    ),
    _ours(
        "CACHE_WRITE_WEIGHT",
        "weights.cache_write",
        amount(1000, zero=True),
        _WEIGHING.cache_write,
        "Effective tokens for one that is written to a cache.",
    ),
    _ours(
        "CACHE_WRITE_HOUR_WEIGHT",
        "weights.cache_write_hour",
        amount(1000, zero=True),
        _WEIGHING.cache_write_hour,
        "The same for one that is kept there for an hour.",
    ),
    _ours(
        "INCLUDE_USAGE",
        "budgets.include_usage",
        one_of("auto", "on", "off"),
        "auto",
        "Ask streams of chat completions for their usage: where a budget needs it, or not.",
    ),
    _ours(
        "UNMETERED",
        "budgets.unmetered",
        one_of("refuse", "allow"),
        _BUDGETS.unmetered,
        "Batches and all else that might cost what a budget or a rule here cannot see.",
    ),
)

_WHICH = (
    _both(
        "ALLOWED_MODELS",
        "models.allowed",
        PATTERNS,
        (),
        "The only models that may be used, with `*` for anything; also a JSON array.",
    ),
    _both(
        "DISALLOWED_MODELS",
        "models.disallowed",
        PATTERNS,
        (),
        "Models that may not be used.",
    ),
    _both(
        "MAX_MODEL_MULTIPLIER",
        "models.max_multiplier",
        amount(_MILLIONTHS),
        None,
        "The greatest multiplier that a model may have.",
    ),
    _both(
        "DEFAULT_AI_CREDITS_PRICING",
        "pricing.default",
        PRICE,
        None,
        "Price of unknown models, JSON: `input`, `output`, `cachedInput`, `cacheWrite`.",
    ),
    _ours(
        "UNKNOWN_MODELS",
        "pricing.unknown",
        one_of("refuse", "default", "free"),
        None,
        "What a model without a known price is: refused, at the default price, or free.",
    ),
    _ours(
        "PRICES_FILE",
        "pricing.file",
        PATH,
        None,
        "JSON file of prices that go before those we know.",
    ),
    Option(
        ("APIPROXY_PRICES", "AWF_API_PROXY_PROVIDERS"),
        "pricing.overlay",
        PRICES,
        NO_PRICES,
        "The same as text; goes before the file.",
        toml=False,
    ),
)

_WHAT_IS_SAID = (
    _both(
        "ENABLE_TOKEN_STEERING",
        "steering.enabled",
        SWITCH,
        False,
        "Tell the model when 80, 90, 95 and 99 % of its budget or time are used.",
    ),
    _both(
        "AGENT_TIMEOUT_MINUTES",
        "steering.minutes",
        whole(),
        None,
        "Minutes the agent has, from the start of apiproxy.",
    ),
)

POLICY = (*_HOW_OFTEN, *_HOW_MUCH, *_WHICH, *_WHAT_IS_SAID)
