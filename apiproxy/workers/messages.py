"""What a front and its workers say to one another.

A message is a struct, encoded as MessagePack with its class's name as the tag, and sent with
its length in front (four bytes, big-endian). To add one, write its class and put it into
``MESSAGES``; both sides look up what to do with it by its class, and whoever does not know a
class that the other may send fails in the test that compares the two.

=============  ======  ==============================================================
message        to      when
=============  ======  ==============================================================
``Begin``      front   the worker was started, and asks what to serve by
``Ready``      front   the worker can serve
``Leaving``    front   the worker wants no more connections
``Asking``     front   somebody asked the worker for the figures of all
``Telling``    front   the worker's own figures, for a ``Tell``
``KeysTried``  front   the worker has tried the keys, for a ``TryKeys``
``Reloaded``   front   the worker has done as ``Reload`` said
``Drained``    front   the worker has stopped
``Shown``      front   what the worker has under way, for a ``Show``
``Stopped``    front   the worker has done as ``Stop`` said
``Serve``      worker  this is what to serve by, for a ``Begin``
``NoMore``     worker  the front gives it none any more, for a ``Leaving``
``Tell``       worker  the front wants its figures
``Told``       worker  the figures of all, for an ``Asking``
``TryKeys``    worker  this worker should find out whether the keys are taken
``Reload``     worker  there are other settings, and they make sense
``Drain``      worker  stop in order
``Hurry``      worker  stop at once
``Show``       worker  an operator wants to see what is under way
``Stop``       worker  an operator wants some of it to end
``NewCap``     worker  an operator has set a cap, or taken one away
=============  ======  ==============================================================
"""

from typing import Any, TypeAlias, Union

import msgspec
from msgspec import Struct

from apiproxy.core.stopping import LiveExchange, StopOrder
from apiproxy.settings.origin import Origin
from apiproxy.telemetry.report import Report


class Begin(Struct, tag=True):
    """The worker was started, and asks what to serve by."""


class Ready(Struct, tag=True):
    """The worker can serve."""


class Leaving(Struct, tag=True):
    """The worker wants no more connections; those that it was given it still serves."""


class Asking(Struct, tag=True):
    """The worker wants the figures of all.

    Attributes:
        id: comes back with them.
    """

    id: int


class Telling(Struct, tag=True):
    """The worker's own figures.

    Attributes:
        round: of the question.
        report: the figures.
    """

    round: int
    report: Report


class KeysTried(Struct, tag=True):
    """The worker has tried all keys.

    Attributes:
        id: of the question.
        keys: what came out, as ``/health`` shows it.
        refused: whether a provider does not take its key.
    """

    id: int
    keys: dict[str, Any]
    refused: bool


class Reloaded(Struct, tag=True):
    """The worker has put other settings in force, or could not.

    Attributes:
        id: of the ``Reload``.
        ok: whether they are in force.
    """

    id: int
    ok: bool


class Drained(Struct, tag=True):
    """The worker has stopped.

    Attributes:
        in_order: whether all exchanges ended by themselves.
    """

    in_order: bool


class Shown(Struct, tag=True):
    """What the worker has under way.

    Attributes:
        id: of the question.
        exchanges: all of it, the oldest first.
    """

    id: int
    exchanges: list[LiveExchange]


class Stopped(Struct, tag=True):
    """The worker has ended what an operator wanted to end.

    Attributes:
        id: of the question.
        number: how many exchanges that were.
    """

    id: int
    number: int


class Serve(Struct, tag=True):
    """What to serve by.

    Attributes:
        origin: makes the settings.
        ledger: folder of the ledger that all workers share, whatever the settings say;
            empty if it is in none.
    """

    origin: Origin
    ledger: str = ""


class NoMore(Struct, tag=True):
    """The front gives the worker no more connections than are on their way."""


class Tell(Struct, tag=True):
    """The front wants the worker's figures.

    Attributes:
        round: comes back with them.
    """

    round: int


class Told(Struct, tag=True):
    """The figures of all.

    Attributes:
        id: of the question.
        report: the figures.
    """

    id: int
    report: Report


class TryKeys(Struct, tag=True):
    """This worker should find out whether the keys are taken.

    Attributes:
        id: comes back with what it finds.
    """

    id: int


class Reload(Struct, tag=True):
    """There are other settings.

    Attributes:
        id: comes back when that is done.
        origin: makes them.
    """

    id: int
    origin: Origin


class Drain(Struct, tag=True):
    """Stop in order."""


class Hurry(Struct, tag=True):
    """Stop at once."""


class Show(Struct, tag=True):
    """An operator wants to see what is under way.

    Attributes:
        id: comes back with it.
    """

    id: int


class Stop(Struct, tag=True):
    """An operator wants something to end.

    Attributes:
        id: comes back with how much it was.
        order: what.
    """

    id: int
    order: StopOrder


class NewCap(Struct, tag=True):
    """An operator has set a cap in the ledger, or taken one away."""


TO_FRONT = (
    *(Begin, Ready, Leaving, Asking, Telling, KeysTried, Reloaded, Drained),
    *(Shown, Stopped),
)
TO_WORKER = (
    *(Serve, NoMore, Tell, Told, TryKeys, Reload, Drain, Hurry),
    *(Show, Stop, NewCap),
)
MESSAGES = (*TO_FRONT, *TO_WORKER)

Message: TypeAlias = Struct
"""One of ``MESSAGES``."""

encode = msgspec.msgpack.Encoder().encode
"""The bytes of a message."""

# Any: a union made of a tuple is a type at run time only.
_ANY_MESSAGE: Any = Union[MESSAGES]  # noqa: UP007
_decoder: "msgspec.msgpack.Decoder[Message]" = msgspec.msgpack.Decoder(_ANY_MESSAGE)


def decode(data: bytes) -> Message:
    """The message that these bytes are.

    Raises:
        msgspec.MsgspecError: they are none.
    """
    return _decoder.decode(data)
