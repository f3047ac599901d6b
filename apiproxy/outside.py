"""What is around a service: the process that it is in, and whoever manages that."""

from collections.abc import Callable, Sequence

from attrs import frozen


@frozen(kw_only=True)
class Outside:
    """What a service tells, and what it wants of its process; nothing, if not given.

    Attributes:
        notify: tells the service manager of our state (sd_notify).
        dropped: number of our own log lines lost so far.
        give_up: ends the process, with the exit code of bad settings.
        end: ends the process in order.
        reread: has the settings read again, and tells what is wrong with them.
    """

    notify: Callable[[str], None] = lambda state: None
    dropped: Callable[[], int] = int
    give_up: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None
    reread: Callable[[], Sequence[str]] = tuple


NOTHING = Outside()
"""Around a service that is a part of something else, as in a test."""
