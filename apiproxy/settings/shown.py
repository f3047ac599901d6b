"""Settings as an operator may see them: no secret, and nothing that holds one."""

from collections.abc import Mapping
from operator import attrgetter

from apiproxy.core.egress import EgressProxy
from apiproxy.policy.overlay import Overlay
from apiproxy.policy.tariff import Price
from apiproxy.settings.options import OPTIONS, Option
from apiproxy.settings.policy_options import POLICY
from apiproxy.settings.rules import PARTS

_MILLION = 1_000_000

_PLAIN = (str, int, float, bool, type(None))


def shown(settings: object) -> dict[str, object]:
    """What is in force, by dotted key.

    Args:
        settings: ``apiproxy.config.Settings``.
    """
    return {option.key: _value(settings, option) for option in OPTIONS}


def _value(settings: object, option: Option) -> object:
    if option in POLICY:
        return _rule(settings, option)
    key = option.key.removeprefix("egress.")
    value = attrgetter(key)(settings)
    if isinstance(value, EgressProxy):
        return value.shown
    if isinstance(value, tuple):
        return [one if isinstance(one, _PLAIN) else str(one) for one in value]
    return value if isinstance(value, _PLAIN) else repr(value)


def _rule(settings: object, option: Option) -> object:
    """A value of ``settings.rules``, in the unit in which it is written."""
    section, _, name = option.key.partition(".")
    value = attrgetter(f"rules.{PARTS.get(section, section)}.{name}")(settings)
    if isinstance(value, bool | float | str | None):
        return value
    if isinstance(value, int):
        number = float(option.kind.show(value))
        return int(number) if number.is_integer() else number
    return _many(value)


def _many(value: object) -> object:
    """Names of models, or what is said of each of them."""
    if isinstance(value, Overlay):
        return {key: sorted(models) for key, models in sorted(value.prices.items())}
    if isinstance(value, Price):
        return {"input": value.input / _MILLION, "output": value.output / _MILLION}
    if isinstance(value, Mapping):
        return {name: each / _MILLION for name, each in value.items()}
    assert isinstance(value, tuple)
    return list(value)
