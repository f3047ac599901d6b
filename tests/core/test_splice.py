"""Splices: what is meant is changed, and no other byte of the body is."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.splice import (
    MAX_DEPTH,
    Path,
    Span,
    SpliceError,
    find,
    insert_item,
    insert_member,
    items,
    replace,
)
from tests.kit.hypothesis_profile import STEADY

SPACES = st.sampled_from(["", "", " ", "\n  ", "\t\r\n"])
KEYS = st.sampled_from(
    [
        '"a"',
        '"\\u0061"',
        '"b"',
        '"b\\""',
        '"{"',
        '"]"',
        '""',
        '"\\\\"',
        '"é"',
        '"\\ud800"',
    ]
)
SCALARS = st.sampled_from(
    ["1", "-0", "1.50", "2E+3", "true", "false", "null", "12345678901234567890"]
) | st.sampled_from(['""', '"}]"', '"\\"{,"', '"\\\\"', '"\\u00e9"', '"é"'])
PATHS = st.lists(st.sampled_from(["a", "b", 'b"', "{", "", "é"]), max_size=3)


def listed(parts: list[str], spaces: list[str], brackets: str) -> str:
    """Parts between brackets, with these spaces in turn around each."""
    gaps = iter([*spaces, *[""] * (2 * len(parts) + 2)])
    inner = ",".join([next(gaps) + part + next(gaps) for part in parts])
    return brackets[0] + (inner or next(gaps)) + brackets[1]


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects and arrays of these."""
    members = st.tuples(KEYS, SPACES, SPACES, inner).map(
        lambda parts: f"{parts[0]}{parts[1]}:{parts[2]}{parts[3]}"
    )
    spaces = st.lists(SPACES, max_size=8)
    return st.one_of(
        st.tuples(st.lists(inner, max_size=4), spaces, st.just("[]")),
        st.tuples(st.lists(members, max_size=4), spaces, st.just("{}")),
        st.tuples(st.lists(members, min_size=1, max_size=4), spaces, st.just("{}")),
    ).map(lambda parts: listed(*parts))


VALUES = st.recursive(SCALARS, nested, max_leaves=15)
BODIES = st.tuples(SPACES, VALUES, SPACES).map(lambda parts: "".join(parts).encode())


def paths_in(value: Any) -> list[list[str]]:
    """All paths that a parser finds in a value."""
    found: list[list[str]] = [[]]
    if isinstance(value, dict):
        for key in value:
            if key.isprintable():
                found += [[key, *path] for path in paths_in(value[key])]
    return found


PLACES = BODIES.flatmap(
    lambda body: st.tuples(
        st.just(body), st.one_of(PATHS, st.sampled_from(paths_in(json.loads(body))))
    )
)


def at(value: Any, path: Path) -> Any:
    """The value that a parser finds there, wrapped; None if there is none."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return [value]


class FindTests(SynchronousTestCase):
    @STEADY
    @given(PLACES)
    def test_value_is_found_where_a_parser_finds_it(
        self, place: tuple[bytes, list[str]]
    ) -> None:
        """Whatever the spaces, the escapes and the double keys."""
        body, path = place
        span = find(body, path)
        expected = at(json.loads(body), path)
        if span is None:
            self.assertIsNone(expected)
        else:
            self.assertEqual([json.loads(body[span.begin : span.end])], expected)
            self.assertEqual(body[span.begin : span.end].strip(), body[slice(*span)])

    def test_key_may_be_written_with_escapes(self) -> None:
        """Nobody hides a model from us by writing its key in another way."""
        body = rb'{"x": {"model": 0}, "\u006dodel" : "gpt-5", "y": "model"}'
        span = find(body, ["model"])
        assert span is not None
        self.assertEqual(body[span.begin : span.end], b'"gpt-5"')

    def test_last_of_double_keys_counts(self) -> None:
        """As it does for those who will parse the body."""
        body = b'{"a": {"b": 1}, "a": {"c": 2, "c": 3}}'
        self.assertEqual(find(body, ["a", "c"]), Span(35, 36))
        self.assertIsNone(find(body, ["a", "b"]))

    def test_what_is_no_object_has_no_members(self) -> None:
        """A path through a number or an array leads nowhere."""
        for body in [b"[1]", b"1", b' "a" ', b'{"a": [1]}', b'{"a": "b"}', b"{}"]:
            self.assertIsNone(find(body, ["a", "b"]))

    def test_items_of_an_array_are_found(self) -> None:
        """One by one, with their offsets."""
        body = b'{"messages": [ {"role": "system"} ,[], "]" ]}'
        span = find(body, ["messages"])
        assert span is not None
        found = [body[item.begin : item.end] for item in items(body, span)]
        self.assertEqual(found, [b'{"role": "system"}', b"[]", b'"]"'])
        self.assertEqual(list(items(b"[ ]", Span(0, 3))), [])


class EditTests(SynchronousTestCase):
    def check(
        self,
        body: bytes,
        path: list[str],
        splice: Callable[[], bytes],
        edit: Callable[[Any], Any],
    ) -> None:
        """The splice does what the edit does, and puts in bytes at one place only."""
        original = json.loads(body)
        place = at(original, path)
        expected = None if place is None else edit(place[0])
        if expected is None:
            self.assertRaises(SpliceError, splice)
            return
        edited = splice()
        begin = next((i for i, byte in enumerate(body) if byte != edited[i]), len(body))
        rest = len(body) - begin
        self.assertEqual(edited[len(edited) - rest :], body[begin:])
        self.assertEqual(json.loads(edited), put(original, path, expected))

    @STEADY
    @given(PLACES, st.sampled_from(["a", 'new"', "é"]), VALUES)
    def test_member_is_inserted(
        self, place: tuple[bytes, list[str]], key: str, value: str
    ) -> None:
        """At the end of the object, where it counts."""
        body, path = place

        def edit(place: Any) -> Any:
            return (
                {**place, key: json.loads(value)} if isinstance(place, dict) else None
            )

        self.check(
            body, path, lambda: insert_member(body, path, key, value.encode()), edit
        )

    @STEADY
    @given(PLACES, st.integers(-1, 5), VALUES)
    def test_item_is_inserted(
        self, place: tuple[bytes, list[str]], index: int, value: str
    ) -> None:
        """Before the item at an index, or at the end, and nowhere else."""
        body, path = place

        def edit(old: Any) -> Any:
            if not isinstance(old, list) or not 0 <= index <= len(old):
                return None
            return [*old[:index], json.loads(value), *old[index:]]

        self.check(
            body, path, lambda: insert_item(body, path, index, value.encode()), edit
        )

    def test_index_is_within_the_array(self) -> None:
        """An item is put where it was asked for, or nowhere."""
        for index in [-1, 2, 99]:
            self.assertRaises(
                SpliceError, insert_item, b'{"a":[1]}', ["a"], index, b"2"
            )
        self.assertEqual(insert_item(b'{"a":[1]}', ["a"], 1, b"2"), b'{"a":[1,2]}')

    @STEADY
    @given(PLACES, VALUES)
    def test_value_is_replaced(
        self, place: tuple[bytes, list[str]], value: str
    ) -> None:
        """And only that one; the bytes around it stay."""
        body, path = place
        span = find(body, path)
        if span is not None:
            edited = replace(body, span, value.encode())
            self.assertTrue(edited.startswith(body[: span.begin]))
            self.assertTrue(edited.endswith(body[span.end :]))
            expected = put(json.loads(body), path, json.loads(value))
            self.assertEqual(json.loads(edited), expected)

    def test_usual_edits_look_as_expected(self) -> None:
        """The bytes, as a provider gets them."""
        body = b'{"stream": true, "messages": [ {"role": "user"} ], "options": {} }\n'
        for edited, expected in [
            (
                insert_member(body, ["options"], "include_usage", b"true"),
                body.replace(b"{}", b'{"include_usage":true}'),
            ),
            (
                insert_member(body, [], "user", b'"x"'),
                body.replace(b"{} }", b'{},"user":"x" }'),
            ),
            (
                insert_item(body, ["messages"], 1, b"{}"),
                body.replace(b'"user"}', b'"user"},{}'),
            ),
            (
                insert_item(body, ["messages"], 0, b"{}"),
                body.replace(b'{"role"', b'{},{"role"'),
            ),
        ]:
            self.assertEqual(edited, expected)


def put(value: Any, path: list[str], new: Any) -> Any:
    """The value with another one at the end of the path."""
    if not path:
        return new
    return {**value, path[0]: put(value[path[0]], path[1:], new)}


BROKEN = [b"", b" ", b"{", b"}", b'{"a"}', b'{"a":}', b'{"a":1', b'{"a":1,}', b"{,}"]
BROKEN += [b'{"a":1]', b'{"a":[}', b'{"a":[1}]', b'{"a":"', b'{"a":"\\"}', b"{a:1}"]
BROKEN += [
    b'{"a":01}',
    b'{"a":tru}',
    b'{"a" 1}',
    b'{"a":1 2}',
    b"{} {}",
    b"1 1",
    b"nul",
]
BROKEN += [
    b'{"a":1}x',
    b"\xef\xbb\xbf{}",
    b'{"\\x":1}',
    b'{"\\u00":1}',
    b'{"\xff\\n":1}',
]
BROKEN += [b'{"a\n":1}', b"[1", b'["', b"{'a':1}", b'{"a":1,"b"}', b"\x00"]


class ErrorTests(SynchronousTestCase):
    def test_broken_json_is_refused(self) -> None:
        """With one error, whatever is wrong."""
        for body in BROKEN:
            for path in [["a"], ["b", "c"]]:
                self.assertRaises(SpliceError, find, body, path)
            self.assertRaises(SpliceError, insert_member, body, [], "k", b"1")

    def test_broken_arrays_are_refused(self) -> None:
        """Items are told as far as they go."""
        for body in [b"[,1]", b"[1,]", b"[1 2]", b"[1}", b"[1", b"1", b"["]:
            self.assertRaises(SpliceError, list, items(body, Span(0, len(body))))

    @STEADY
    @given(PLACES)
    def test_cut_body_is_refused(self, place: tuple[bytes, list[str]]) -> None:
        """No part of an object or an array is taken for the whole."""
        body, path = place
        body = body.strip()
        if body[:1] in (b"{", b"["):
            for end in range(len(body)):
                self.assertRaises(SpliceError, find, body[:end], path)

    @STEADY
    @given(st.lists(st.sampled_from(list('{}[]:,"\\ a1')), max_size=30), PATHS)
    def test_any_bytes_raise_nothing_else(
        self, text: list[str], path: list[str]
    ) -> None:
        """Whatever an agent sends, it is found, not found, or refused in one way."""
        noise = "".join(text).encode()
        for body in [noise, b'{"a":' + noise + b"}"]:
            with contextlib.suppress(SpliceError):
                find(body, path)
                insert_item(body, path, 0, b"1")

    def test_nesting_is_bounded(self) -> None:
        """As deep as a body may be, and no deeper, beside the way and on it."""
        for path in [["a"], ["b"], ["a"] * MAX_DEPTH]:
            deep = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
            find(deep, path)
            self.assertRaises(SpliceError, find, b'{"a":' + deep + b"}", path)
        self.assertRaises(SpliceError, find, b"[" * 10_000_000, [])

    def test_large_bodies_are_read(self) -> None:
        """Megabytes of text, escapes and brackets keep nobody busy for long."""
        for part in [b'"x"', rb'"\\\""', b"[]", b"{}", b"[[],{}]", b'" "']:
            inner = b",".join([part] * 50_000)
            body = b'{"x":[' + inner + b'],"model":"m"}'
            self.assertEqual(find(body, ["model"]), Span(len(body) - 4, len(body) - 1))
        body = b'{"x":"' + b"\\\\" * 1_000_000 + b'","model":1}'
        self.assertIsNotNone(find(body, ["model"]))
