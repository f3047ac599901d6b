"""The settings that say who may come, and what may be asked for."""

from collections.abc import Callable
from typing import TypeVar

from apiproxy.policy.endpoints import RULES
from apiproxy.policy.tools import ToolRule
from apiproxy.policy.visitors import parse_host, parse_origin
from apiproxy.settings.kinds import PATH, Kind
from apiproxy.settings.option import Option

T = TypeVar("T")


def _listed(parse: Callable[[str], T]) -> Kind:
    """Values with commas between them; none twice."""

    def parse_all(text: str) -> tuple[T, ...]:
        parts = (part.strip() for part in text.split(","))
        return tuple(dict.fromkeys(parse(part) for part in parts if part))

    return Kind(parse_all, lambda values: ", ".join(map(str, values)))


_NAMES = tuple(rule.name for rule in RULES)


def _parse_rule(text: str) -> str:
    if text.lower() not in _NAMES:
        raise ValueError(f"must be some of {', '.join(_NAMES)}")
    return text.lower()


ACCESS = (
    Option(
        ("APIPROXY_ALLOWED_HOSTS",),
        "access.hosts",
        _listed(parse_host),
        (),
        "Names agents call us by, such as `apiproxy` in Compose; `.suffix` for all below,"
        " `*` for any. `localhost` and IP addresses always will do.",
    ),
    Option(
        ("APIPROXY_ALLOWED_ORIGINS",),
        "access.origins",
        _listed(parse_origin),
        (),
        "Web origins (`https://example.com`) whose pages may send requests; `*` for any.",
    ),
    Option(
        ("APIPROXY_OPEN_ENDPOINTS",),
        "access.endpoints",
        _listed(_parse_rule),
        (),
        "Rules about endpoints that make or show credentials that are not in force: "
        + ", ".join(f"`{name}`" for name in _NAMES)
        + ".",
    ),
    Option(
        ("APIPROXY_TOOLS",),
        "access.tools",
        _listed(ToolRule.parse),
        (),
        "What becomes of hosted tools: `kind=verdict` or `kind:host=verdict`, with"
        " verdicts allow, report and deny; what is not named is reported.",
    ),
    Option(
        ("APIPROXY_CALLERS_FILE",),
        "access.callers_file",
        PATH,
        None,
        "TOML file of callers: their tokens as hashes, and what each may use.",
    ),
)
