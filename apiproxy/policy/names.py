"""The many names of one model.

A model is named with its vendor in front (``openai/gpt-5``, ``us.anthropic.claude-…-v1:0``),
with a date behind, with dots or dashes, in any case, and with wishes (``?effort=high``).
``spellings`` gives what to look for, from the name itself to the plainest form of it.

Only decorations are taken off, which never make another model of it: a date, ``latest``, an
amount of effort. The older sidecar dropped one ``-segment`` after the other until something
was found, and so took ``gpt-5-pro-x`` for ``gpt-5`` at an eighth of the price.
"""

import re
from collections.abc import Iterator

LONGEST = 200
"""Characters of a name that are looked at; no model's is longer."""

_VENDOR = re.compile(
    r"(?:(?:us|eu|apac|global|regional|jp|au|ca|us-gov)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot"
    r"|moonshotai|nvidia|openai|qwen|writer|zai|xai)\.(?=[a-z])"
)

_DECORATION = re.compile(
    r"-(?:20\d\d-\d\d-\d\d(?:-alpha-.*)?|20\d{6}(?:-alpha-.*)?"  # a date
    r"|(?:0[1-9]|1[0-2])-(?:[0-3]\d|20\d\d)|\d{3,4}"
    r"|20\d\d-(?:0[1-9]|1[0-2])|2\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|v\d+|latest|preview|exp|experimental|alpha|beta"
    r"|minimal|low|medium|high|xhigh|thinking|fast)$"
)


def plain(name: str) -> str:
    """A name without vendor and wishes, in lower case and with dashes."""
    name = name[:LONGEST].lower().partition("?")[0]
    if name.startswith("ft:"):  # a fine-tuned model: "ft:gpt-4o-2024-08-06:acme::id"
        return f"ft:{plain(name[3:])}"
    name = _VENDOR.sub("", name.rpartition("/")[2], count=1)
    # Bedrock's "-v1:0", OpenRouter's ":thinking", Vertex's "@20250514" and "@default".
    name = name.partition(":")[0].replace("@default", "").replace("@", "-")
    return dashed(name).strip("-")


def dashed(name: str) -> str:
    """A name with dashes for dots and underscores."""
    return name.replace(".", "-").replace("_", "-")


def bases(name: str) -> Iterator[str]:
    """A plain name, and what is left of it as decorations are taken off its end."""
    yield name
    while match := _DECORATION.search(name):
        if match.start() == 0:
            return
        name = name[: match.start()]
        yield name


def spellings(name: str) -> Iterator[str]:
    """What to look a model up by, the most exact form first; some come twice."""
    name = name[:LONGEST].lower()
    yield name
    name = name.partition("?")[0]
    yield name
    yield name.rpartition("/")[2]
    yield from bases(plain(name))


def vendor(name: str) -> str:
    """What stands before the first slash, in lower case; empty for nothing."""
    return name[:LONGEST].lower().partition("/")[0] if "/" in name[:LONGEST] else ""


def account_of(model: str) -> str:
    """A model as its account is named: in lower case, without vendor and wishes."""
    name = model.strip()[:LONGEST].lower().partition("?")[0]
    return name.rpartition("/")[2] or "unknown"
