"""The metrics, in the form that was asked for.

To render text costs milliseconds, and anybody who reaches a port may ask; so what was
rendered is given again for a second. JSON costs next to nothing, and is always fresh. So are
figures that come later, those of several processes: each of them would remember others, and
a counter that is read from one and then from another would go back.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred

from apiproxy.admin.answer import JSON, Later, LocalAnswer, after

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


_FRESH_SECONDS = 1.0
_MAX_ACCEPT = 512


class Metrics:
    """The figures: JSON, unless ``Accept`` prefers text."""

    def __init__(
        self, figures: Callable[[], Later[Figures]], seconds: Callable[[], float]
    ) -> None:
        """An endpoint.

        Args:
            figures: gives what to show, now or later.
            seconds: a clock.
        """
        self._figures = figures
        self._seconds = seconds
        self._rendered: dict[bytes, tuple[float, LocalAnswer]] = {}

    def render(self, accept: bytes | None) -> Later[LocalAnswer]:
        """The answer; text of one process may be a second old."""
        form = preferred((accept or b"")[:_MAX_ACCEPT])
        known = self._rendered.get(form)
        if known is not None and self._seconds() - known[0] < _FRESH_SECONDS:
            return known[1]
        figures = self._figures()
        if isinstance(figures, Deferred):  # of several processes: see above
            return after(figures, partial(_shown, form))
        answer = _shown(form, figures)
        if form is not JSON:
            self._rendered[form] = (self._seconds(), answer)
        return answer


def _shown(form: bytes, figures: Figures) -> LocalAnswer:
    if form is JSON:
        return LocalAnswer(200, JSON, figures.as_json())
    return LocalAnswer(200, form, figures.as_text(form is OPENMETRICS))


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
