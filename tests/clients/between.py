"""A client that does something twice: with something of the test's in between, or in vain."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Raised = Callable[[Callable[[], Any]], Any]
"""Tells what an action raises, as far as people look at it; None if nothing."""


def between(action: Callable[[], Any]) -> list[Any]:
    """Do it, say so with a file ``begun``, wait for a file ``go``, and do it again.

    Args:
        action: what to do; both its results are returned.
    """
    first = action()
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.1)
    return [first, action()]


def once(action: Callable[[], Any], raised: Raised) -> list[Any]:
    """Do it, and do it again.

    Args:
        action: what to do.
        raised: tells what comes of the second time.

    Returns:
        What the action has returned, and what it raised then.
    """
    return [action(), raised(action)]
