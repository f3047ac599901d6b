"""Event streams: the same events however they are cut, and unwanted ones cost nothing."""

import json

from hypothesis import example, given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.sse import EventScanner
from tests.kit.hypothesis_profile import STEADY

LIMIT = 100
Told = tuple[list[bytes], int, int, int]


def scan(
    *pieces: bytes,
    markers: tuple[bytes, ...] = (),
    limit: int = LIMIT,
    unwanted: tuple[bytes, ...] = (),
) -> Told:
    """The events of a stream that comes in these pieces, and the counts."""
    told: list[bytes] = []
    scanner = EventScanner(told.append, markers, limit, unwanted)
    for piece in pieces:
        scanner.feed(piece)
    return told, scanner.wanted, scanner.skipped, scanner.oversized


def events(*pieces: bytes) -> list[bytes]:
    """The events alone."""
    return scan(*pieces)[0]


class EventTests(SynchronousTestCase):
    def test_lines_end_in_three_ways(self) -> None:
        """LF, CR LF and CR end a line, mixed or not, cut anywhere."""
        for end in [b"\n", b"\r\n", b"\r"]:
            for blank in [b"\n", b"\r\n", b"\r"]:
                if (end, blank) == (b"\r", b"\n"):
                    continue  # That is one line end.
                data = b"event: a" + end + b"data: 1" + end + blank
                data += b"data: 2" + end + b"data: 3" + end + blank + b"data: 4" + end
                for cut in range(len(data) + 1):
                    self.assertEqual(events(data[:cut], data[cut:]), [b"1", b"2\n3"])

    def test_space_after_the_colon_is_optional(self) -> None:
        """One space is left out, a second one is data."""
        self.assertEqual(
            events(b"data:a\n\ndata: b\n\ndata:  c \n\ndata::d\n\n"),
            [b"a", b"b", b" c ", b":d"],
        )

    def test_lines_of_data_are_joined(self) -> None:
        """Data in several lines is one event, empty lines of it included."""
        self.assertEqual(
            events(b"data: {\ndata:\nid: 7\ndata\ndata: }\n\ndata\n\ndata:\n\n"),
            [b"{\n\n\n}", b"", b""],
        )

    def test_what_is_no_data_is_left_out(self) -> None:
        """Comments, other fields and names that only look like data are no data."""
        for event in [
            b": data: a",
            b"database: a",
            b" data: a",
            b"xdata: a",
            b"id: data",
        ]:
            self.assertEqual(events(event + b"\n\n" + b"data: b\n\n"), [b"b"], event)
            self.assertEqual(events(event + b"\ndata: b\n\n"), [b"b"], event)

    def test_blank_lines_are_no_events(self) -> None:
        """As many blank lines as one likes, before and between events."""
        self.assertEqual(
            events(b"\n\n\n\r\ndata: a\n\n\n\n\r\r\ndata: b\n\n"), [b"a", b"b"]
        )

    def test_mark_at_the_beginning_is_left_out(self) -> None:
        """A byte order mark may begin a stream, and nothing else."""
        for mark in [b"", b"\xef\xbb\xbf"]:
            data = mark + b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n"
            for cut in range(len(data) + 1):
                self.assertEqual(events(data[:cut], data[cut:]), [b"a", b"c"])
        self.assertEqual(events(b"\n\xef\xbb\xbfdata: a\n\n"), [])

    def test_unfinished_event_is_not_told(self) -> None:
        """Without the blank line, an event may not be whole."""
        self.assertEqual(events(b"data: a\n\ndata: b\n"), [b"a"])

    def test_large_json_comes_through(self) -> None:
        """An event of a megabyte is read as it was sent."""
        text = json.dumps({"text": "data: \n\n" * 100_000}).encode()
        data = b"event: done\ndata: " + text + b"\n\n"
        pieces = [data[at : at + 16_384] for at in range(0, len(data), 16_384)]
        self.assertEqual(scan(*pieces, limit=len(data))[0], [text])


class MarkerTests(SynchronousTestCase):
    def test_only_events_with_a_marker_are_told(self) -> None:
        """The rest is passed over and counted, in one chunk or in many."""
        data = b"data: delta\n\n" * 3 + b"event: done\ndata: usage\n\n" + b"data: x\n\n"
        for cut in range(len(data) + 1):
            told = scan(data[:cut], data[cut:], markers=(b"nothing", b"usage"))
            self.assertEqual(told, ([b"usage"], 1, 3 * 13 + 9, 0))

    def test_event_may_be_known_by_its_beginning(self) -> None:
        """An event that begins like an unwanted one is passed over, marker or not."""
        delta, done = b"event: delta\ndata: usage\n\n", b"event: done\ndata: usage\n\n"
        data = delta + done + delta + delta
        for pieces in [[delta, done, delta, delta], [delta + done, delta + delta]]:
            for markers in [(), (b"usage",)]:
                told = scan(*pieces, markers=markers, unwanted=(b"event: delta\n",))
                self.assertEqual(told, ([b"usage"], 1, 3 * len(delta), 0))
        for cut in range(len(data) + 1):
            told = scan(data[:cut], data[cut:], unwanted=(b"event: delta\n",))
            self.assertEqual(told, ([b"usage"], 1, 3 * len(delta), 0))

    def test_marker_may_be_in_any_line(self) -> None:
        """The name of an event can be what makes it wanted."""
        data = b"event: done\ndata: 1\n\n"
        self.assertEqual(scan(data, markers=(b"event: done",))[0], [b"1"])

    def test_wanted_event_without_data_is_none(self) -> None:
        """A comment with a marker in it is not told."""
        self.assertEqual(scan(b": usage\n\n", markers=(b"usage",)), ([], 0, 0, 0))


class LimitTests(SynchronousTestCase):
    def test_event_over_the_limit_is_passed_over(self) -> None:
        """It is counted, and the next one is read, wherever the bytes are cut."""
        data = b"data: 1\n\ndata: " + b"x" * LIMIT + b"\n\ndata: 2\n\n"
        for cut in range(len(data) + 1):
            self.assertEqual(scan(data[:cut], data[cut:]), ([b"1", b"2"], 2, 0, 1))
            told = scan(data[:cut], data[cut:], markers=(b"usage",))
            self.assertEqual(told, ([], 0, 18, 1))

    def test_endless_event_is_not_held(self) -> None:
        """However long an event gets, a bounded part of it is in memory."""
        told: list[bytes] = []
        scanner = EventScanner(told.append, (), LIMIT)
        for _ in range(1000):
            scanner.feed(b"data: abc\n")
            self.assertLessEqual(len(scanner._held), LIMIT)
        scanner.feed(b"\ndata: next\n\n")
        self.assertEqual((told, scanner.oversized), ([b"next"], 1))


PARTS = [b"data", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"a", b"\xef\xbb\xbf"]
PARTS += [b"data: usage\n\n", b"data: delta\n\n", b"event: x\n", b"x" * 60]


class CutTests(SynchronousTestCase):
    @STEADY
    @given(
        st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join),
        st.lists(st.integers(0, 20), max_size=20),
        st.sampled_from([(), (b"usage",), (b"usage", b"a")]),
        st.sampled_from([(), (b"data: usage", b"event: x")]),
    )
    @example(b"data: a\n\n\ndata: usage\n\n", [10], (b"usage",), ())
    @example(b"event: x\ndata: a\r\rdata: usage\n\n", [10], (), (b"event: x",))
    def test_any_cut_gives_the_same(
        self,
        data: bytes,
        sizes: list[int],
        markers: tuple[bytes, ...],
        unwanted: tuple[bytes, ...],
    ) -> None:
        """Events and counts are the same byte by byte, in any pieces and in one."""

        def scan_all(*pieces: bytes) -> Told:
            return scan(*pieces, markers=markers, unwanted=unwanted)

        whole = scan_all(data)
        each = scan_all(*[data[i : i + 1] for i in range(len(data))])
        self.assertEqual(each, whole)
        pieces, rest = [], data
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        self.assertEqual(scan_all(*pieces, rest), whole)
