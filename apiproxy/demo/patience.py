"""Waiting for something that tells nobody when it happens."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater


async def until(
    clock: IReactorTime, condition: Callable[[], object], seconds: float = 5.0
) -> bool:
    """Wait until something is so.

    Args:
        clock: counts the seconds.
        condition: asked again and again.
        seconds: how long at most.

    Returns:
        Whether it came to be so.
    """
    end = clock.seconds() + seconds
    while not condition():
        if clock.seconds() >= end:
            return False
        await deferLater(clock, 0.01)
    return True
