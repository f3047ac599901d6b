"""A client that does something twice, with something of the test's in between."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
