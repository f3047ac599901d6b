"""The metrics, in the form that was asked for."""

from typing import Protocol

from attrs import frozen

from apiproxy.admin.answer import JSON, LocalAnswer

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"

_FORMS = {
    b"application/json": JSON,
    b"application/*": JSON,
    b"*/*": JSON,
    b"text/plain": TEXT,
    b"text/*": TEXT,
    b"application/openmetrics-text": OPENMETRICS,
}


class Figures(Protocol):
    """What can be shown, in either form."""

    def as_json(self) -> bytes:
        """JSON."""

    def as_text(self, openmetrics: bool = False) -> bytes:
        """Prometheus text, or OpenMetrics text."""


@frozen
class Metrics:
    """The figures: JSON, unless ``Accept`` prefers text.

    Attributes:
        figures: what to show.
    """

    figures: Figures

    def render(self, accept: bytes | None) -> LocalAnswer:
        """The answer."""
        form = preferred(accept or b"")
        if form is JSON:
            return LocalAnswer(200, JSON, self.figures.as_json())
        return LocalAnswer(200, form, self.figures.as_text(form is OPENMETRICS))


def preferred(accept: bytes) -> bytes:
    """The content type that a client wants most.

    Args:
        accept: value of ``Accept`` (RFC 9110, section 12.5.1). The highest weight wins, and
            the first of equals, since some clients list text behind JSON without weights.

    Returns:
        One of the three content types; JSON if none is accepted.
    """
    best, heaviest = JSON, 0.0
    for item in accept.split(b","):
        kind, *parameters = (part.strip().lower() for part in item.split(b";"))
        weight = _weight(parameters)
        if weight > heaviest and kind in _FORMS:
            best, heaviest = _FORMS[kind], weight
    return best


def _weight(parameters: list[bytes]) -> float:
    for parameter in parameters:
        if parameter.startswith(b"q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
