"""Twisted's log events as JSON lines."""

import msgspec
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.python.log import LogPublisher as LegacyPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from apiproxy.core.values import Secret
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.twisted_events import TwistedEvents

KEY = "sk-Q0123456789"


class TwistedEventsTests(SynchronousTestCase):
    """Which events come out, and how."""

    def setUp(self) -> None:
        """An observer at the lowest level."""
        self.raw: list[bytes] = []
        self.observer = self.events("debug")

    def events(self, level: str) -> TwistedEvents:
        """An observer whose lines are kept."""
        log = LineLog(self.raw.append, level=level, now=lambda: 0.0)
        log.redact([KEY.encode()])
        return TwistedEvents(log)

    def logger(self, namespace: str) -> Logger:
        """A logger of some module."""
        return Logger(namespace=namespace, observer=LogPublisher(self.observer))

    @property
    def lines(self) -> list[dict[str, object]]:
        """All lines, without the timestamp."""
        lines = [msgspec.json.decode(line) for line in self.raw]
        for line in lines:
            del line["timestamp"]
        return lines

    def test_interface(self) -> None:
        """It is what Twisted looks for."""
        verifyObject(ILogObserver, self.observer)

    def test_our_event(self) -> None:
        """An event of ours has its name, its sentence and its fields."""
        self.logger("apiproxy.wire.site").info(
            "{provider} listens", event="listening", provider="openai", port=10000
        )
        self.assertEqual(
            self.lines,
            [
                {
                    "level": "info",
                    "event": "listening",
                    "provider": "openai",
                    "port": 10000,
                    "message": "openai listens",
                    "namespace": "apiproxy.wire.site",
                }
            ],
        )

    def test_event_without_a_sentence(self) -> None:
        """A name and fields are enough; secrets among them are stars."""
        self.logger("apiproxy").warn(event="odd", secret=Secret(b"x" * 9))
        self.assertEqual(
            self.lines,
            [
                {
                    "level": "warning",
                    "event": "odd",
                    "secret": "‹secret›",
                    "namespace": "apiproxy",
                }
            ],
        )

    def test_levels(self) -> None:
        """Twisted's levels become ours."""
        log = self.logger("apiproxy.x")
        for level in LogLevel.iterconstants():
            log.emit(level, "m")
        self.assertEqual(
            [line["level"] for line in self.lines],
            ["debug", "info", "warning", "error", "error"],
        )

    def test_chatter_of_libraries(self) -> None:
        """What a library thinks worth telling is debug, and shows no fields."""
        log = self.logger("twisted.web.server")
        log.info("Starting factory {factory}", factory="F")
        self.assertEqual(
            self.lines,
            [
                {
                    "level": "debug",
                    "event": "log",
                    "message": "Starting factory F",
                    "namespace": "twisted.web.server",
                }
            ],
        )
        self.raw.clear()
        self.observer = self.events("info")
        log = self.logger("twisted.web.server")
        log.info("Starting")
        log.warn("Careful")  # noqa: G010
        self.assertEqual([line["message"] for line in self.lines], ["Careful"])

    def test_similar_namespace_is_not_ours(self) -> None:
        """A module is ours by its package, not by the beginning of its name."""
        self.logger("apiproxyplugin").info("hi", token="t")
        self.assertEqual(self.lines[0]["level"], "debug")
        self.assertNotIn("token", self.lines[0])

    def test_autobahn_never_speaks_below_warning(self) -> None:
        """Handshakes, which Autobahn prints, are in no line at any level."""
        for namespace in (
            "autobahn.twisted.websocket.WebSocketAdapterProtocol",
            "txaio",
        ):
            log = self.logger(namespace)
            log.debug("{r}", r="GET / HTTP/1.1\r\nAuthorization: Bearer placeholder")
            log.info("received {r}", r="Authorization: Bearer placeholder")
            log.warn("dropping connection")  # noqa: G010
        self.assertEqual(
            [line["message"] for line in self.lines], ["dropping connection"] * 2
        )

    def test_failure(self) -> None:
        """A failure is an exception with its traceback, and never with a known secret."""
        log = self.logger("apiproxy.wire")
        try:
            int(f"bad key {KEY}")
        except ValueError:
            log.failure("cannot dial {host}", host="api.openai.com")
        [line] = self.lines
        self.assertEqual(
            (line["level"], line["event"], line["error"], line["message"]),
            ("error", "exception", "ValueError", "cannot dial api.openai.com"),
        )
        self.assertIn("'bad key ‹secret›'", str(line["traceback"]))
        self.assertIn("test_twisted_events.py", str(line["traceback"]))
        self.assertNotIn(KEY.encode(), self.raw[0])

    def test_failure_of_autobahn(self) -> None:
        """A failure gets out whoever logs it, at whichever level."""
        failure = Failure(ValueError("x"))
        self.logger("autobahn.x").debug("oh", log_failure=failure)
        self.assertEqual(self.lines[0]["event"], "exception")

    def test_failure_without_a_type(self) -> None:
        """A failure that was stripped does not cost the line."""
        failure = Failure(ValueError("x"))
        self.patch(failure, "type", None)
        self.patch(failure, "getTraceback", str)
        self.observer({"log_failure": failure, "log_level": LogLevel.critical})
        self.assertEqual(self.lines[0]["error"], "unknown")

    def test_legacy_messages(self) -> None:
        """Old-style messages are debug, old-style errors are exceptions."""
        legacy = LegacyPublisher(
            self.observer, LogPublisher(self.observer), _NoWarnings()
        )
        legacy.msg("hello", system="-")
        legacy.msg(failure=Failure(ValueError("x")), isError=1, why="because")
        hello, error = self.lines
        self.assertEqual((hello["level"], hello["message"]), ("debug", "hello"))
        self.assertEqual(
            (error["level"], error["event"], error["error"]),
            ("error", "exception", "ValueError"),
        )

    def test_bare_event(self) -> None:
        """An event with nothing in it is a line all the same."""
        self.observer({})
        self.assertEqual(self.lines, [{"level": "debug", "event": "log"}])


class _NoWarnings:
    """Stands in for the warnings module, which the publisher would patch."""

    def showwarning(self) -> None:
        """Nothing."""
