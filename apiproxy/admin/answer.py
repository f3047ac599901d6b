"""What a port answers itself."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
from attrs import frozen
from twisted.internet.defer import Deferred

JSON = b"application/json"

T = TypeVar("T")
U = TypeVar("U")

# Any: a Deferred is invariant, so that one of a Report would be none of what shows it.
Later: TypeAlias = T | Deferred[Any]
"""What is there, or will be."""


def after(value: Later[T], act: Callable[[T], U]) -> Later[U]:
    """What becomes of a value, at once if it is there."""
    return value.addCallback(act) if isinstance(value, Deferred) else act(value)


@frozen
class LocalAnswer:
    """An answer that comes from no provider.

    Attributes:
        status: HTTP status.
        content_type: value of ``Content-Type``.
        body: all of it.
    """

    status: int
    content_type: bytes
    body: bytes


class LocalEndpoint(Protocol):
    """Something that is asked by GET or HEAD and changes nothing."""

    def render(self, accept: bytes | None) -> Later[LocalAnswer]:
        """The answer.

        Args:
            accept: value of the request's ``Accept``; None if there is none.
        """


def json_answer(status: int, value: object) -> LocalAnswer:
    """An answer of JSON, one line long, so that a terminal shows it well."""
    return LocalAnswer(status, JSON, msgspec.json.encode(value) + b"\n")
