"""Values are counted as a parser would find them, and in time."""

import json

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.json_weight import (
    LONG,
    MOST_SIGNS,
    MOST_VALUES,
    Lightener,
    is_dense,
    is_heavy,
    shortened,
)


class WeightTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Wherever they are: in lists, objects, as members or as depth."""
        many = MOST_VALUES + 1
        for text in (
            b"[" + b"[]," * many,
            b"[" + b"{}," * many,
            b"[" * many,
            b'{"a":' * many,
            b"{" + b'"a":0,' * many,
            b"[" + b"0," * many,
            b"[" + b'"a",' * many,
        ):
            self.assertTrue(is_heavy(text), text[:20])
            self.assertFalse(is_heavy(text[: len(text) // 3]), text[:20])

    def test_prose(self) -> None:
        """What stands in strings weighs nothing, whatever it quotes."""
        code = 'a[i], b = {"x": [1, 2, 3]}, "\\"\\\\"\n' * 100_000
        text = json.dumps({"messages": [{"content": code}, {"content": "\\"}]}).encode()
        self.assertGreater(text.count(b","), MOST_VALUES)
        self.assertFalse(is_heavy(text))
        self.assertTrue(is_heavy(text[:-1] + b',"x":[' + b"[]," * MOST_VALUES + b"]}"))

    def test_what_is_no_json(self) -> None:
        """It is looked at once, however many strings it seems to begin."""
        for piece in (b'"', b'\\"', b'",', b'["\\",', b"\\", b'"\\', b",\\\\"):
            text = b"[" * (MOST_VALUES + 1) + b'"' + piece * (8 * 1024 * 1024)
            # It takes 0.1 s; looking from each quote to the end would take days.
            self.assertTrue(is_heavy(text))

    def test_a_dense_text(self) -> None:
        """Of nothing but quotes or escapes, which has few values, or none."""
        for piece in (b'"', b"\\", b'\\"'):
            text = b'{"a":"%b"}' % (piece * (MOST_SIGNS // len(piece)))
            self.assertTrue(is_dense(text))
            self.assertTrue(is_heavy(text))
            self.assertFalse(is_dense(text[: len(text) // 2]))


class ShortenedTests(SynchronousTestCase):
    @given(st.text(max_size=20), st.text(min_size=1, max_size=20), st.booleans())
    def test_a_long_string_begins_as_it_did(
        self, first: str, piece: str, escaped: bool
    ) -> None:
        """It is a string still, wherever it was cut; others are as they were."""
        whole = first + piece * (2 * LONG)
        value = {"a": whole, first: [first, 1, {"b": piece}], "c": whole}
        text = json.dumps(value, ensure_ascii=escaped)
        cut = json.loads(shortened(text.encode("utf-8", "surrogatepass")))
        for key in {"a", "c"} - {first}:
            self.assertLess(len(cut[key]), LONG)
            begin = cut[key].encode("utf-16", "surrogatepass")
            self.assertTrue(whole.encode("utf-16", "surrogatepass").startswith(begin))
        if first not in ("a", "c"):
            self.assertEqual(cut[first], value[first])

    def test_what_is_no_json(self) -> None:
        """Nothing is made right, or raises."""
        for text in (b"", b'"', b'"' + b"a" * 9999, b'"\\' * 9999, b"\xff" * 9999):
            self.assertLessEqual(len(shortened(text)), len(text) + 1)


class LightenTests(SynchronousTestCase):
    def test_what_is_left(self) -> None:
        """The small members that matter, of objects within it, too; no depth without end."""
        lists = b"[" + b"[]," * MOST_VALUES + b"0]"
        inner = b'{"id":1,"b":2,"output":%b}' % lists
        deep = b'{"a":{"a":{"a":{"id":4,"output":%b}},"id":3}}' % lists
        light = Lightener(("id", "a", "usage", "output"))
        for data, left in (
            (b'{"id":1,"b":2}', b'{"id":1}'),
            (b'{"usage":{"x":[1]},"output":%b}' % lists, b'{"usage":{"x":[1]}}'),
            (b'{"id":2,"a":%b}' % inner, b'{"id":2,"a":{"id":1}}'),
            (deep, b'{"a":{"id":3,"a":{}}}'),
        ):
            self.assertEqual(light.lighten(data), left)
