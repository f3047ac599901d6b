"""Items of streamed JSON: whole, as they were sent, however they were cut."""

import json

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.json_items import JsonItems
from tests.kit.hypothesis_profile import STEADY

LIMIT = 200
Told = tuple[list[bytes], str, int]


def cut(*pieces: bytes, limit: int = LIMIT) -> Told:
    """The items of a body in these pieces, what is wrong with it, and the count lost."""
    told: list[bytes] = []
    reader = JsonItems(told.append, limit)
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    assert reader.items == len(told)
    return told, reader.gap, reader.oversized


def cut_everywhere(case: SynchronousTestCase, data: bytes, expected: Told) -> None:
    """The same comes of it in one piece, in two, and byte by byte."""
    case.assertEqual(cut(*[data[i : i + 1] for i in range(len(data))]), expected)
    for at in range(len(data) + 1):
        case.assertEqual(cut(data[:at], data[at:]), expected)


class ItemTests(SynchronousTestCase):
    def test_elements_of_an_array_come_one_by_one(self) -> None:
        """As Gemini streams them, with white space and commas between."""
        data = b'[{"a": [1, {"b": 2}]}\n,\r\n{"c": "}]"},{}\n]\n'
        items = [b'{"a": [1, {"b": 2}]}', b'{"c": "}]"}', b"{}"]
        cut_everywhere(self, data, (items, "", 0))

    def test_element_comes_as_soon_as_it_is_whole(self) -> None:
        """Nobody waits for the next one to know that the last one is over."""
        told: list[bytes] = []
        reader = JsonItems(told.append, LIMIT)
        reader.feed(b'[{"a":1}')
        self.assertEqual(told, [b'{"a":1}'])

    def test_single_object_is_one_item(self) -> None:
        """An answer that is not a stream comes through whole."""
        data = b' {"usage": {"input_tokens": 7}, "text": "\\"{[\\\\"} \n'
        cut_everywhere(self, data, ([data.strip()], "", 0))

    def test_objects_one_after_the_other_are_items(self) -> None:
        """Lines of JSON are read as well."""
        cut_everywhere(self, b'{"a":1}\n{"b":2}\n', ([b'{"a":1}', b'{"b":2}'], "", 0))

    def test_strings_may_hold_anything(self) -> None:
        """Brackets, quotes, commas and backslashes in strings are text."""
        texts = ['"', "\\", '\\"', "[{", "]}", ",", "\\\\", '\\\\"]}', "é\u2028"]
        objects = [{text: [text, {text: text}]} for text in texts]
        for ascii_only in [True, False]:
            items = [json.dumps(o, ensure_ascii=ascii_only).encode() for o in objects]
            for item in items:
                cut_everywhere(self, b"[" + item + b"]", ([item], "", 0))

    def test_many_strings_and_escapes_are_text(self) -> None:
        """However many there are of them in one item."""
        item = json.dumps([["]"] * 3000, {"a": '"' * 5000}, "\\" * 3001]).encode()
        data = b"[" + item + b"," + item + b"]"
        for cut_at in [0, 5, 1000, 12_000, 21_000, len(data) // 2]:
            told = cut(data[:cut_at], data[cut_at:], limit=len(item))
            self.assertEqual(told, ([item, item], "", 0))

    def test_elements_may_be_anything(self) -> None:
        """Numbers, strings, words and arrays are elements too."""
        data = b'[1 , "a,]\\"", null,[2,[]],-3.5e7,"" ]'
        items = [b"1", b'"a,]\\""', b"null", b"[2,[]]", b"-3.5e7", b'""']
        cut_everywhere(self, data, (items, "", 0))

    def test_empty_bodies_have_no_items(self) -> None:
        """Nothing, white space and an empty array are fine."""
        for data in [b"", b" \n", b"[]", b" [ ] "]:
            cut_everywhere(self, data, ([], "", 0))

    @STEADY
    @given(
        st.lists(
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                lambda children: (
                    st.lists(children, max_size=3)
                    | st.dictionaries(st.text(max_size=5), children, max_size=3)
                ),
                max_leaves=12,
            ),
            max_size=5,
        ),
        st.sampled_from([None, 1]),
        st.lists(st.integers(0, 40), max_size=20),
    )
    def test_any_array_in_any_pieces(
        self, values: list[object], indent: int | None, sizes: list[int]
    ) -> None:
        """What is cut out of an array is what its parser finds in it."""
        rest = json.dumps(values, indent=indent).encode()
        pieces = []
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        items, gap, oversized = cut(*pieces, rest, limit=10_000)
        self.assertEqual([json.loads(item) for item in items], values)
        self.assertEqual((gap, oversized), ("", 0))


class GapTests(SynchronousTestCase):
    def test_what_is_no_json_is_told(self) -> None:
        """A page of HTML, a bare word or a stray bracket ends the reading."""
        for data in [b"<html>{}</html>", b"null", b'"a"', b"}", b" ]", b"[1}, 2]"]:
            items = [b"1"] if data == b"[1}, 2]" else []
            cut_everywhere(self, data, (items, "not_json", 0))

    def test_cut_body_is_told(self) -> None:
        """What was whole is read, and the rest is known to be missing."""
        whole = b'[{"a": "b"},{"c": 1}]'
        for at in range(1, len(whole)):
            self.assertEqual(cut(whole[:at])[1], "json_cut")
        self.assertEqual(cut(whole[:-2])[0], [b'{"a": "b"}'])

    def test_item_over_the_limit_is_passed_over(self) -> None:
        """It is counted, and the next one is read, wherever the bytes are cut."""
        large = b'{"a": "' + b"x\\\\]" * 60 + b'"}'
        data = b'[{"b":1},' + large + b',{"c":2}]'
        cut_everywhere(self, data, ([b'{"b":1}', b'{"c":2}'], "", 1))
        self.assertEqual(cut(data, limit=len(large))[0][1], large)

    def test_endless_item_is_not_held(self) -> None:
        """However long a string or however deep an array gets, memory is bounded."""
        for start, more in [(b'{"a":"', b"x\\" * 50), (b"[", b"[" * 99)]:
            reader = JsonItems(lambda item: None, LIMIT)
            reader.feed(start)
            for _ in range(1000):
                reader.feed(more)
                self.assertLessEqual(len(reader._held), LIMIT)
            reader.end()
            self.assertEqual(reader.gap, "json_cut")

    @STEADY
    @given(
        st.lists(
            st.sampled_from([b"[", b"{", b"]", b"}", b'"', b"\\", b",", b"1", b"x"])
        )
    )
    def test_any_bytes_in_any_pieces(self, bytes_: list[bytes]) -> None:
        """Nothing is raised, and cuts make no difference."""
        data = b"[" + b"".join(bytes_)
        self.assertEqual(cut(b"[", *bytes_), cut(data))
