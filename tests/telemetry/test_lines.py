"""JSON lines: what they look like, and what they never do."""

from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote_from_bytes

import msgspec
from attrs import frozen
from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Answer, Ask, Secret
from apiproxy.telemetry.lines import LONGEST_TEXT, LineLog

NOON = 1_750_000_000.25
KEY = b"sk-ant-Zq0K-secretsecret"


class Written:
    """A log whose lines are kept."""

    def __init__(self, level: str = "debug") -> None:
        self.raw: list[bytes] = []
        self.seconds = NOON
        self.log = LineLog(self.raw.append, level=level, now=lambda: self.seconds)

    @property
    def lines(self) -> list[dict[str, object]]:
        """All lines, decoded."""
        return [msgspec.json.decode(line) for line in self.raw]

    def field(self, value: object) -> object:
        """The value as it comes out in a line."""
        self.log.log("info", "test", field=value)
        return self.lines[-1]["field"]


def texts(value: object) -> Iterator[str]:
    """All texts in a decoded line, the names of fields included."""
    if isinstance(value, dict):
        yield from texts([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        yield str(value)


class Broken:
    """Something whose repr raises."""

    def __repr__(self) -> str:
        raise ValueError("no repr")


@frozen
class Point:
    """What msgspec could encode, and we print."""

    x: int


class Plain(msgspec.Struct):
    """A line somebody else prepared."""

    timestamp: str
    level: str
    event: str
    path: str
    code: int | msgspec.UnsetType = msgspec.UNSET


class LineLogTests(SynchronousTestCase):
    """Lines as a log collector reads them."""

    def test_one_line(self) -> None:
        """A line is one JSON object: timestamp, level, event, then the fields in order."""
        written = Written()
        written.log.log("info", "listening", provider="openai", port=10000)
        self.assertEqual(
            written.raw,
            [
                b'{"timestamp":"2025-06-15T15:06:40.250Z","level":"info",'
                b'"event":"listening","provider":"openai","port":10000}\n'
            ],
        )

    def test_timestamp_follows_the_clock(self) -> None:
        """The date is right although it is made once a second, and backwards too."""
        written = Written()
        for written.seconds in (0.0, 0.9996, 1.0, 86399.001, 3.5, 1e9):
            written.log.log("info", "x")
        self.assertEqual(
            [line["timestamp"] for line in written.lines],
            [
                "1970-01-01T00:00:00.000Z",
                "1970-01-01T00:00:00.999Z",
                "1970-01-01T00:00:01.000Z",
                "1970-01-01T23:59:59.001Z",
                "1970-01-01T00:00:03.500Z",
                "2001-09-09T01:46:40.000Z",
            ],
        )

    def test_level_is_a_threshold(self) -> None:
        """Lines under the level are not written; an unknown level is."""
        written = Written("warning")
        for level in ("debug", "info", "warning", "error", "panic"):
            written.log.log(level, "x")
        self.assertEqual(
            [line["level"] for line in written.lines], ["warning", "error", "panic"]
        )

    def test_the_threshold_may_change(self) -> None:
        """As a reload changes it; lines are written or not from then on."""
        written = Written("error")
        written.log.log("info", "before")
        written.log.set_level("info")
        written.log.log("info", "after")
        self.assertEqual([line["event"] for line in written.lines], ["after"])

    def test_no_such_level(self) -> None:
        """A log with a level that does not exist is not made."""
        with self.assertRaises(KeyError):
            LineLog(print, level="loud", now=lambda: 0.0)

    def test_values(self) -> None:
        """What JSON knows stays, bytes are Latin-1 text, the rest is its repr."""
        written = Written()
        for value, shown in (
            (1, 1),
            (2**80, 2**80),
            (1.5, 1.5),
            (float("nan"), None),
            (None, None),
            (True, True),
            ("ü", "ü"),
            (b"\xfcx", "üx"),
            (bytearray(b"ab"), "ab"),
            (memoryview(b"ab"), "ab"),
            ((1, b"a"), [1, "a"]),
            ({"k": {b"n": b"v"}}, {"k": {"n": "v"}}),
            ({2: 3}, {"2": 3}),
            (Path("/x"), "PosixPath('/x')"),
            (Point(1), "Point(x=1)"),
            (ValueError("no"), "ValueError('no')"),
            ("\ud800", "\\ud800"),
        ):
            self.assertEqual(written.field(value), shown)
        self.assertEqual(written.log.lost, 0)

    def test_sets(self) -> None:
        """A set is a list."""
        self.assertEqual(Written().field({3}), [3])
        self.assertEqual(Written().field(frozenset((3,))), [3])

    def test_secret_is_stars(self) -> None:
        """A secret prints as stars, at any depth, also as a name."""
        written = Written()
        secret = Secret(KEY)
        self.assertEqual(written.field(secret), "‹secret›")
        self.assertEqual(written.field([{"a": secret}]), [{"a": "‹secret›"}])
        self.assertNotIn(KEY, b"".join(written.raw))

    def test_header_lines_are_not_shown(self) -> None:
        """A request or an answer shows no more than what it is."""
        fields = [(b"authorization", b"placeholder")]
        written = Written()
        ask = Ask(method=b"GET", target=b"/?q", path=b"/", fields=fields)
        self.assertEqual(written.field(ask), "<Ask>")
        self.assertEqual(written.field(Answer(200, b"OK", fields)), "<Answer>")

    def test_depth_is_bounded(self) -> None:
        """What contains itself ends."""
        loop: list[object] = []
        loop.append(loop)
        self.assertEqual(Written().field(loop), [[[["[[...]]"]]]])
        mapping: dict[str, object] = {}
        mapping["m"] = mapping
        self.assertEqual(
            Written().field(mapping), {"m": {"m": {"m": {"m": "{'m': {...}}"}}}}
        )

    def test_repr_that_raises(self) -> None:
        """A field that cannot be shown does not cost the line."""
        self.assertEqual(Written().field(Broken()), "<Broken, whose repr broke>")

    def test_fixed_names_stay(self) -> None:
        """A field cannot take the place of timestamp, level or event."""
        written = Written()
        written.log.log("info", "x", level="high", event="no", timestamp=1)
        self.assertEqual(
            written.lines[0],
            {
                "timestamp": "2025-06-15T15:06:40.250Z",
                "level": "info",
                "event": "x",
                "level_": "high",
                "event_": "no",
                "timestamp_": 1,
            },
        )

    def test_long_text_is_cut(self) -> None:
        """A field has a longest length."""
        shown = str(Written().field("x" * (LONGEST_TEXT + 1)))
        self.assertEqual(shown, "x" * LONGEST_TEXT + "…")

    def test_control_characters(self) -> None:
        """No line can move a cursor, start a new line or turn its direction around."""
        text = "a\r\n\x00\x1b[2J\x7f\x9b\u2028\u202e\u2066\ufeffü"
        written = Written()
        self.assertEqual(written.field(text), text)
        [line] = written.raw
        self.assertEqual(line.count(b"\n"), 1)
        for character in text.replace("a", "").replace("[2J", "").replace("ü", ""):
            self.assertNotIn(character, line[:-1].decode())
        self.assertIn("ü", line.decode())

    def test_write_that_raises(self) -> None:
        """A log that cannot be written breaks nothing, and counts."""

        def broken(line: bytes) -> None:
            raise OSError("disk")

        log = LineLog(broken, level="info", now=lambda: NOON)
        log.log("info", "x")
        log.put("info", Plain("", "info", "x", "/"))
        self.assertEqual(repr(log), "<LineLog from 20 up, 2 lost>")

    def test_prepared_line(self) -> None:
        """A prepared line is written as it is, under the same threshold."""
        written = Written("info")
        written.log.put("debug", Plain("t", "debug", "x", "/"))
        written.log.put("info", Plain("t", "info", "x", "/"))
        self.assertEqual(
            written.raw, [b'{"timestamp":"t","level":"info","event":"x","path":"/"}\n']
        )

    def test_prepared_line_with_a_surrogate(self) -> None:
        """A prepared line that cannot be encoded is written all the same."""
        written = Written()
        written.log.put("info", Plain("t", "info", "x", "/\udcff"))
        [line] = written.lines
        self.assertEqual((line["event"], line["path"]), ("x", "/\\udcff"))
        self.assertNotIn("code", line)


class RedactedLinesTests(SynchronousTestCase):
    """The second net in place."""

    def test_replaced_secret(self) -> None:
        """After a new list of secrets, those of the old one are still taken out."""
        written = Written()
        self.assertEqual(written.field(KEY), KEY.decode())
        written.log.redact([])
        self.assertEqual(written.field(KEY), KEY.decode())
        written.log.redact([KEY])
        self.assertEqual(written.field(KEY), "‹secret›")
        written.log.redact([Secret(b"another-secret")])
        self.assertEqual(written.field(b"another-secret"), "‹secret›")
        self.assertEqual(written.field(KEY), "‹secret›")

    def test_secret_at_the_cut(self) -> None:
        """A secret at the place where a long field is cut does not leave its beginning."""
        written = Written()
        written.log.redact([KEY])
        text = "x" * (LONGEST_TEXT - 8) + KEY.decode() + "y" * 40
        self.assertNotIn(KEY.decode()[:6], str(written.field(text)))

    def test_prepared_line(self) -> None:
        """The quick way goes through the net, too."""
        written = Written()
        written.log.redact([KEY])
        written.log.put("info", Plain("t", "info", "x", f"/{KEY.decode()}"))
        self.assertEqual(written.lines[0]["path"], "/‹secret›")

    @settings(derandomize=True, deadline=None, max_examples=50)
    @given(
        secret=strategies.binary(min_size=8, max_size=50).map(
            lambda raw: bytes(33 + byte % 94 for byte in raw)
        ),
        pad=strategies.binary(max_size=4),
    )
    def test_no_spelling_survives(self, secret: bytes, pad: bytes) -> None:
        """No field of any kind carries a secret out, in any spelling."""
        written = Written()
        written.log.redact([secret])
        text = secret.decode()
        spellings = (
            secret,
            text,
            b64encode(secret),
            quote_from_bytes(secret, safe=""),
            ValueError(text),
            ["x", (secret, {text: text})],
        )
        numbers = count()
        fields = {f"f{next(numbers)}": value for value in spellings}
        written.log.log("error", text, **fields, padded=b64encode(pad + secret + pad))
        [line] = written.raw
        shown = "\n".join(texts(msgspec.json.decode(line)))
        for spelling in (
            text,
            b64encode(secret).decode()[:-4],
            quote_from_bytes(secret),
        ):
            self.assertNotIn(spelling, shown)
        whole = b64encode(pad + secret + pad).decode()
        start = -(-len(pad) * 8 // 6)
        core = whole[start : (len(pad) + len(secret)) * 8 // 6]
        self.assertNotIn(core, shown)
