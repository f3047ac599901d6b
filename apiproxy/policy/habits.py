"""How much models usually say: what is set aside for a request that does not limit itself."""

from collections import OrderedDict

MODELS = 256
"""Models that are remembered; the one that nobody used for longest is forgotten."""

ANSWERS = 64
"""Answers of each that are remembered."""

FEWEST = 5
"""Answers that must have been seen before anything is made of them."""


class Habits:
    """Tokens of output of the last answers of each model."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, list[int]] = OrderedDict()
        self._next: dict[str, int] = {}

    def learn(self, model: str, output: int) -> None:
        """An answer that is over had so many tokens of output."""
        seen = self._seen.setdefault(model, [])
        self._seen.move_to_end(model)
        at = self._next.get(model, 0)
        if len(seen) < ANSWERS:
            seen.append(output)
        else:
            seen[at] = output
        self._next[model] = (at + 1) % ANSWERS
        if len(self._seen) > MODELS:
            forgotten, _ = self._seen.popitem(last=False)
            del self._next[forgotten]

    def expect(self, model: str) -> int | None:
        """Tokens that 95 of 100 answers do not exceed; None as long as few were seen."""
        seen = self._seen.get(model, ())
        if len(seen) < FEWEST:
            return None
        return sorted(seen)[-(-len(seen) * 95 // 100) - 1]
