"""Remembering what a pure function gave, within bounds.

The header lines of an agent's hundredth request are those of its first, all but two or three.
To split and judge each of them anew takes a fifth of all that a request costs; to look a line
up takes a fifteenth of that. ``Memo`` is a dictionary that asks the function when it does not
know a key.

Keys come from outside, so it is bounded three ways: in number (when it is full it forgets
everything, and the usual lines are back after one request each), in the length of a key, and
in what it may keep, which ``keep`` decides.
A sender of ever new lines makes it useless, never wrong, and never larger.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Memo(dict[bytes, V], Generic[V]):
    """What a function gives, by its argument; ``memo[key]`` asks it if need be."""

    __slots__ = ("_function", "_keep", "_longest", "_size")

    def __init__(
        self,
        function: Callable[[bytes], V],
        *,
        size: int = 512,
        longest: int = 256,
        keep: Callable[[V], bool] = lambda value: True,
    ) -> None:
        """An empty memory.

        Args:
            function: pure. What it raises is passed on, and not remembered.
            size: how many values are kept.
            longest: bytes of a key that is kept.
            keep: whether this value may be kept.
        """
        super().__init__()
        self._function = function
        self._size = size
        self._longest = longest
        self._keep = keep

    def __missing__(self, key: bytes) -> V:
        value = self._function(key)
        if len(key) <= self._longest and self._keep(value):
            if len(self) >= self._size:
                self.clear()
            self[key] = value
        return value

    def __repr__(self) -> str:
        return f"<Memo of {len(self)} values>"
