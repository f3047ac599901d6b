"""Counting calls: those of Python functions, those of C functions, and the kernel's.

``sys.setprofile`` is told of every call, whatever the machine is doing, so that the same work
gives the same numbers anywhere. Coverage listens elsewhere (``sys.settrace``, or
``sys.monitoring`` under a number of its own), so both work at the same time.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

SYSTEM = (
    "socket.recv",
    "socket.send",
    "epoll.poll",
    "epoll.register",
    "epoll.modify",
    "epoll.unregister",
)
"""Functions that are system calls, each time they are called."""

_ROOT = str(Path(__file__).parent.parent.parent)


class Calls:
    """What was called so far.

    Attributes:
        python: Python functions, by file and name.
        c: C functions, by name.
    """

    def __init__(self) -> None:
        self.python: Counter[str] = Counter()
        self.c: Counter[str] = Counter()

    def counting(self, act: Callable[[], object]) -> None:
        """Do something and count what it calls, itself included."""
        before = sys.getprofile()
        sys.setprofile(self._called)
        try:
            act()
        finally:
            sys.setprofile(before)
            del self.c["setprofile"]

    def _called(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            code = frame.f_code
            self.python[f"{_short(code.co_filename)} {code.co_qualname}"] += 1
        elif event == "c_call":
            self.c[function.__qualname__] += 1

    def figures(self) -> dict[str, int]:
        """The numbers that are written down."""
        system = {name: self.c[name] for name in SYSTEM if self.c[name]}
        return {"python": self.python.total(), "c": self.c.total(), **system}

    def functions(self) -> dict[str, int]:
        """How often each function was called."""
        return {**dict(sorted(self.python.items())), **dict(sorted(self.c.items()))}


def _short(path: str) -> str:
    """The path of a file as everybody has it."""
    if "site-packages" in path:
        return path.rpartition("site-packages/")[2]
    if path.startswith(_ROOT):
        return path[len(_ROOT) + 1 :]
    return path.rpartition("/")[2]
