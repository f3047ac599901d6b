"""Effective tokens: what a response weighs, in thousandths, so that sums are exact.

Each token is weighed once. What was read from a cache is not input as well, and what was
thought is output already, whatever the provider's own figures include (see ``core.usage``).
"""

from apiproxy.core.usage import Usage
from apiproxy.policy.names import LONGEST, dashed, plain
from apiproxy.policy.rules import Weighing

ONE = 1_000_000
"""A multiplier of 1."""

_MOST_NAMES = 1024
"""Names whose multiplier is remembered; agents may make up any number of them."""


class Weights:
    """Weighs tokens by kind and model."""

    def __init__(self, weighing: Weighing) -> None:
        self._weighing = weighing
        self._known: dict[str, int | None] = {}
        self._multipliers = {
            name.lower(): multiplier
            for name, multiplier in weighing.multipliers.items()
        }
        self._spellings = {
            dashed(name): multiplier for name, multiplier in self._multipliers.items()
        } | self._multipliers

    def known(self, model: str) -> int | None:
        """What is said of this model, in millionths; None if nothing is.

        The multiplier of the name itself, in any case and with dots or dashes, or of its plain
        form, else of the longest name that one of these continues after a dash.
        """
        if not self._multipliers:
            return None
        name = model[:LONGEST].lower()
        if name not in self._known:
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            forms = (self._longest(form) for form in (name, dashed(name), plain(name)))
            _, self._known[name] = max(forms, key=lambda found: found[0])
        return self._known[name]

    def exact(self, model: str) -> int | None:
        """What is said of just this name, in millionths; None if nothing is."""
        return self._multipliers.get(model.lower())

    def multiplier(self, model: str) -> int:
        """What tokens of a model are multiplied by, in millionths."""
        known = self.known(model)
        return self._weighing.default_multiplier if known is None else known

    def _longest(self, name: str) -> tuple[int, int | None]:
        """How much of a name is one that has a multiplier, and that."""
        at = len(name)
        while at > 0:
            if (multiplier := self._spellings.get(name[:at])) is not None:
                return at, multiplier
            at = name.rfind("-", 0, at)
        return 0, None

    def weigh(self, usage: Usage, model: str) -> int:
        """Thousandths of effective tokens, rounded up."""
        return self.weigh_by(usage, self.multiplier(model))

    def weigh_by(self, usage: Usage, multiplier: int) -> int:
        """The same, where the multiplier is known."""
        weighing = self._weighing
        thousandths = (
            usage.input * weighing.input
            + usage.cached * weighing.cached
            + usage.written * weighing.cache_write
            + usage.written_hour * weighing.cache_write_hour
            + usage.output * weighing.output
        )
        return -(-thousandths * multiplier // ONE)
