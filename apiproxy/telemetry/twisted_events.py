"""Twisted's own log events, and those of our modules, as the same JSON lines.

Our modules log through ``twisted.logger``: an event has a name of its own in ``event=``, and
its fields become fields. What libraries log is sentences for their developers; it comes
out as ``event: "log"`` with a ``message``, and their "info" counts as debug here, because
"Starting factory" tells an operator nothing.

Autobahn prints whole handshakes, ``Authorization`` included, when its debug log is on, and
its logger is txaio's. Nothing of theirs below a warning gets out, at any level.
"""

from collections.abc import Mapping

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from apiproxy.telemetry.lines import LineLog

_LEVELS = {
    LogLevel.debug: "debug",
    LogLevel.info: "info",
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "error",
}
_OURS = "apiproxy"
_MUTED = ("autobahn", "txaio")

# What Twisted adds to events, old style and new, and what we take up by name.
_NOT_FIELDS = frozenset(
    (
        "event",
        "failure",
        "format",
        "isError",
        "logLevel",
        "message",
        "system",
        "time",
        "why",
    )
)


@implementer(ILogObserver)
class TwistedEvents:
    """The observer to begin Twisted's logging with."""

    def __init__(self, log: LineLog) -> None:
        """Make the observer.

        Args:
            log: where to.
        """
        self._log = log

    def __call__(self, event: LogEvent) -> None:
        """Write the event as a line, if its level is wanted."""
        namespace = str(event.get("log_namespace") or "")
        level = _level(event, namespace)
        if level is not None and self._log.wants(level):
            self._log.log(level, _name(event), **self._fields(event, namespace))

    def _fields(self, event: LogEvent, namespace: str) -> dict[str, object]:
        fields: dict[str, object] = {}
        if _is_ours(namespace):
            fields.update(_own_fields(event))
        message = formatEvent(event)
        if message:
            fields["message"] = message
        if namespace:
            fields["namespace"] = namespace
        failure = _failure(event)
        if failure is not None:
            fields["error"] = failure.type.__name__ if failure.type else "unknown"
            fields["traceback"] = failure.getTraceback()
        return fields


def _level(event: LogEvent, namespace: str) -> str | None:
    """The level of the line; None for an event that must not get out."""
    level = _LEVELS.get(event.get("log_level"), "info")
    if _failure(event) is not None:
        level = "error"
    if level in ("debug", "info"):
        if namespace.startswith(_MUTED):
            return None
        if not _is_ours(namespace):
            return "debug"
    return level


def _failure(event: LogEvent) -> Failure | None:
    failure = event.get("log_failure", event.get("failure"))
    return failure if isinstance(failure, Failure) else None


def _name(event: LogEvent) -> str:
    if _failure(event) is not None:
        return "exception"
    name = event.get("event")
    return name if isinstance(name, str) else "log"


def _is_ours(namespace: str) -> bool:
    return namespace == _OURS or namespace.startswith(_OURS + ".")


def _own_fields(event: Mapping[str, object]) -> dict[str, object]:
    return {
        key: value
        for key, value in event.items()
        if not key.startswith("log_") and key not in _NOT_FIELDS
    }
