"""Hosted tools: what a request has the provider do for it, outside of our sight.

The agent's network ends at us, the provider's does not. A request can have the provider call a
server (MCP), fetch a page or a picture, search the web, run code in a container, go on in the
background, or call somebody when it is done. Each of these is a way out for data and a way in
for instructions. Policy says ``allow``, ``report`` or ``deny`` for each kind, and for each
remote host. What a request asks for is found by ``inspection``.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from attrs import frozen

from apiproxy.core.errors import ProxyError, ToolRefused
from apiproxy.core.exchange import Exchange
from apiproxy.core.memo import Memo
from apiproxy.core.values import Ask
from apiproxy.policy.inspection import KINDS, ToolUse, inspect_request

Verdict = Literal["allow", "report", "deny"]


@frozen
class ToolRule:
    """A verdict on a kind, possibly only at some hosts.

    Attributes:
        kind: one of ``KINDS``, or ``*``.
        host: exactly, or with ``.`` in front all below it; empty for every host and none.
        verdict: what is done.
    """

    kind: str
    host: str
    verdict: Verdict

    @classmethod
    def parse(cls, text: str) -> "ToolRule":
        """Read ``kind=verdict`` or ``kind:host=verdict``.

        Raises:
            ValueError: the rest of a sentence that begins with the setting's name.
        """
        subject, _, verdict = (part.strip().lower() for part in text.partition("="))
        kind, _, host = subject.partition(":")
        if kind not in (*KINDS, "*") or verdict not in ("allow", "report", "deny"):
            raise ValueError(
                "must be kind=verdict or kind:host=verdict with commas between them;"
                f" kinds are {', '.join(KINDS)} and *, verdicts allow, report and deny"
            )
        return cls(kind, host.removeprefix("*"), verdict)  # type: ignore[arg-type]

    def covers(self, use: ToolUse) -> bool:
        """Whether this is about that."""
        if self.kind not in ("*", use.kind):
            return False
        if self.host.startswith("."):
            return use.host.endswith(self.host)
        return self.host in ("", use.host)

    def __str__(self) -> str:
        host = f":{self.host}" if self.host else ""
        return f"{self.kind}{host}={self.verdict}"


class ToolPolicy:
    """All rules; the most exact one decides, and of equals the last."""

    def __init__(
        self,
        rules: Iterable[ToolRule] = (),
        report: Callable[[Exchange, ToolUse], None] = lambda exchange, use: None,
    ) -> None:
        """Make it.

        Args:
            rules: what is not covered is reported.
            report: told of each use that is to be reported, and of which exchange.
        """
        self._rules = sorted(
            rules, key=lambda rule: (rule.host != "", rule.kind != "*")
        )
        self._denies = any(rule.verdict == "deny" for rule in self._rules)
        self._report = report
        self._by_path = Memo(lambda key: inspect_request(*key.split(b" ", 1)))

    @property
    def quiet(self) -> bool:
        """Whether everything is allowed, so that nobody need look."""
        return {rule.kind: rule.verdict for rule in self._rules} == {"*": "allow"}

    @property
    def denies(self) -> bool:
        """Whether anything is denied, so that bodies have to be held."""
        return self._denies

    def verdict(self, use: ToolUse) -> Verdict:
        """On one use."""
        verdict: Verdict = "report"
        if use.kind == "unreadable" and self._denies:
            verdict = "deny"
        for rule in self._rules:
            if rule.covers(use) and not (use.kind == "unreadable" and rule.kind == "*"):
                verdict = rule.verdict
        return verdict

    def decide(self, exchange: Exchange, uses: Iterable[ToolUse]) -> ToolRefused | None:
        """The refusal of the first that is denied; None if all may pass.

        Those that are to be reported are, also if another one is refused.
        """
        refusal = None
        for use in uses:
            verdict = self.verdict(use)
            if verdict == "report":
                self._report(exchange, use)
            elif verdict == "deny" and refusal is None:
                refusal = _refused(use)
        return refusal

    def check(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """As a guard: judge what can be told from method and path, without the body."""
        uses = self._by_path[b"%b %b" % (ask.method, ask.path)]
        return self.decide(exchange, uses) if uses else None

    def __repr__(self) -> str:
        return f"<ToolPolicy {', '.join(map(str, self._rules)) or 'reports all'}>"


def _refused(use: ToolUse) -> ToolRefused:
    if use.kind == "unreadable":
        return ToolRefused(
            "The request cannot be searched for hosted tools, and some are denied;"
            " APIPROXY_TOOLS=unreadable=allow lets it pass."
        )
    return ToolRefused(
        f"The request asks the provider for {use.kind}"
        + (" at another host" if use.host else "")
        + f", which is denied; see APIPROXY_TOOLS ({use.kind}=deny)."
    )
