"""What a port answers itself."""

from typing import Protocol

import msgspec
from attrs import frozen

JSON = b"application/json"


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

    def render(self, accept: bytes | None) -> LocalAnswer:
        """The answer.

        Args:
            accept: value of the request's ``Accept``; None if there is none.
        """


def json_answer(status: int, value: object) -> LocalAnswer:
    """An answer of JSON, one line long, so that a terminal shows it well."""
    return LocalAnswer(status, JSON, msgspec.json.encode(value) + b"\n")
