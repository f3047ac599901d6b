"""Settings as an operator may see them: no secret, and nothing that holds one."""

from operator import attrgetter

from apiproxy.core.egress import EgressProxy
from apiproxy.settings.options import OPTIONS, Option

_PLAIN = (str, int, float, bool, type(None))


def shown(settings: object) -> dict[str, object]:
    """What is in force, by dotted key.

    Args:
        settings: ``apiproxy.config.Settings``.
    """
    return {option.key: _value(settings, option) for option in OPTIONS}


def _value(settings: object, option: Option) -> object:
    key = option.key.removeprefix("egress.")
    value = attrgetter(key)(settings)
    if isinstance(value, EgressProxy):
        return value.shown
    if isinstance(value, tuple):
        return [one if isinstance(one, _PLAIN) else str(one) for one in value]
    return value if isinstance(value, _PLAIN) else repr(value)
