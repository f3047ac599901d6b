"""Endpoints whose answer is a credential, or that look after credentials.

An agent that gets a client secret, an access token or a new key has what it must not have: it
can go to the provider without us. So such endpoints are refused, whatever the method, on every
port, because any port may lead to any provider by configuration. Each rule has a name, and is
opened by that name in ``APIPROXY_OPEN_ENDPOINTS`` if somebody does need it.

A rule is a run of path segments. It is looked for anywhere in the path, so that no base path
hides it, and in a spelling that no server reads more loosely: escapes undone, lower case,
``-`` for ``_``, no empty segments, no path parameters. This spelling decides; what is sent is
the path itself, and a decoy in it can only get a request refused.

The lists are from the public reference of each API, as of November 2026.
"""

import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote_to_bytes

from attrs import frozen

from apiproxy.core.errors import EndpointRefused, ProxyError
from apiproxy.core.exchange import Exchange
from apiproxy.core.memo import Memo
from apiproxy.core.values import Ask


@frozen
class Rule:
    """Endpoints that are refused for one reason.

    Attributes:
        name: by which it is opened.
        runs: segments with slashes between them; ``:verb`` for one that ends in a custom
            verb (as Google's do).
        what: what these endpoints give, for documentation.
    """

    name: str
    runs: tuple[str, ...]
    what: str


RULES: tuple[Rule, ...] = (
    Rule(
        "client-secrets",
        (
            "client-secrets",
            "client-secret",
            "realtime/sessions",
            "realtime/transcription-sessions",
            "realtimeapi/sessions",
            "chatkit/sessions",
        ),
        "OpenAI's and Azure's ephemeral keys (`ek_…`) for realtime sessions and ChatKit",
    ),
    Rule(
        "organization",
        ("organization", "organizations", "dashboard"),
        "OpenAI's and Anthropic's administration: keys, service accounts, members, invites",
    ),
    Rule(
        "api-keys",
        (
            "api-keys",
            "admin-api-keys",
            "apikeys",
            "auth/keys",
            "v1/keys",
            "create-api-key",
            "service-accounts",
            ":listkeys",
            "listkeys",
            "regeneratekey",
        ),
        "keys of projects, workspaces, resources and service accounts",
    ),
    Rule(
        "oauth",
        ("oauth", "oauth2", "oidc", "login/device", "v1/token", "sts"),
        "OAuth: tokens, and keys made with them (`/api/oauth/claude_cli/create_api_key`)",
    ),
    Rule(
        "auth-tokens",
        (
            "auth-tokens",
            "authtokens",
            "ephemeral-tokens",
            "single-use-token",
            "auth/grant",
            "access-token",
        ),
        "Gemini's ephemeral tokens, and those of speech providers",
    ),
    Rule(
        "copilot-internal",
        ("copilot-internal",),
        "Copilot's own tokens, made from a GitHub token",
    ),
    Rule(
        "access-tokens",
        (
            "access-tokens",
            "personal-access-tokens",
            "registration-token",
            "remove-token",
            ":generateaccesstoken",
            ":generateidtoken",
            ":signblob",
            ":signjwt",
            ":exchangetoken",
        ),
        "GitHub's installation and runner tokens, Google IAM's tokens and signatures",
    ),
)


class Endpoints:
    """The guard: refuses what no rule opens."""

    def __init__(self, opened: Collection[str] = ()) -> None:
        """Make it.

        Args:
            opened: names of rules that are not in force.
        """
        self._rules = [rule for rule in RULES if rule.name not in opened]
        self._patterns = [(rule, _pattern(rule)) for rule in self._rules]
        self._found = Memo(self.rule)

    def rule(self, path: bytes) -> Rule | None:
        """The rule that refuses this path; None if none does.

        Args:
            path: as it will be sent, without the query.
        """
        readings = set(_readings(path))
        for rule, pattern in self._patterns:
            if any(pattern.search(loose) is not None for loose in readings):
                return rule
        return None

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """The refusal, or None."""
        rule = self._found[ask.path]
        if rule is None:
            return None
        return EndpointRefused(
            f"This endpoint makes or shows credentials (rule {rule.name});"
            f" APIPROXY_OPEN_ENDPOINTS={rule.name} opens it."
        )

    def __repr__(self) -> str:
        return f"<Endpoints {len(self._rules)} of {len(RULES)} rules>"


_PARAMETERS = re.compile(rb";[^/]*")
_ESCAPED_DOT = re.compile(rb"%2e", re.I)
_BLANKS = bytes(range(0x21))
_AROUND = _BLANKS + b"."
_DECODINGS = 3  # some decode twice


def loosely(path: bytes) -> bytes:
    """A path as the most careless server might read it; a slash at both ends."""
    path = _unified(_undone(path)).lower().replace(b"_", b"-")
    segments = (each.strip(_AROUND) for each in path.split(b"/"))
    return b"/" + b"".join(each + b"/" for each in segments if each)


def _readings(path: bytes) -> Iterator[bytes]:
    """A path as careless servers might read it; a slash at both ends of each.

    Dots that were escaped may be dropped, or followed: after any number of decodings, or, by
    several servers in a row, after each. To some of them an empty segment is one.
    """
    yield loosely(path)
    if b".." not in _undone(path):
        return
    for empty in (True, False):
        decoded = in_turn = path
        for _ in range(_DECODINGS):
            decoded = unquote_to_bytes(decoded)
            in_turn = _followed(unquote_to_bytes(in_turn), empty=empty)
            yield loosely(_followed(decoded, empty=empty))
            yield loosely(in_turn)
            if b"%" not in decoded:
                break


def _undone(path: bytes) -> bytes:
    """A path without escapes, and without escapes of them."""
    for _ in range(_DECODINGS):
        path = unquote_to_bytes(path)
    return path


def _unified(path: bytes) -> bytes:
    return _PARAMETERS.sub(b"", path.replace(b"\\", b"/"))


def _followed(path: bytes, *, empty: bool) -> bytes:
    """A path in which each ``..``, also as ``%2e%2e``, takes away the segment before it.

    Args:
        path: whose segments have slashes between them.
        empty: whether a segment of nothing, or of blanks, can be taken away.
    """
    kept: list[bytes] = []
    for segment in _unified(path).split(b"/")[1:]:
        name = _ESCAPED_DOT.sub(b".", segment).strip(_BLANKS)
        if name == b"..":
            del kept[-1:]
        elif name != b"." and (empty or name.strip(_AROUND)):
            kept.append(segment)
    return b"/" + b"/".join(kept)


def _pattern(rule: Rule) -> re.Pattern[bytes]:
    """An expression that is found in a loose path if one of the rule's runs is in it."""
    return re.compile(b"|".join(_run(run) for run in rule.runs))


def _run(run: str) -> bytes:
    verb = run.startswith(":")
    return re.escape((run if verb else "/" + run).encode() + b"/")
