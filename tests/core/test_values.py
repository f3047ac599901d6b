"""A secret that nobody sees, and the values that pass between the floors."""

import copy
import json
import pickle
import traceback
from typing import Any

import msgspec
from hypothesis import given, strategies as st
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Answer, Ask, Secret, first, joined
from tests.kit.hypothesis_profile import STEADY

BACKWARDS = b"2retnuh-ks"
STARS = "‹secret›"


class SecretTests(SynchronousTestCase):
    def setUp(self) -> None:
        """One secret."""
        self.key = BACKWARDS[::-1]  # its plain form must be in no source and no global
        self.secret = Secret(self.key)

    def test_one_way_out(self) -> None:
        """Who asks for the value by its name gets it."""
        self.assertEqual(self.secret.reveal(), self.key)

    def test_it_prints_as_stars(self) -> None:
        """However it is formatted, and inside of whatever."""
        secret, form = self.secret, "{0} {0!s:>9} {0!r} {0:x}"
        for shown in [
            *(repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!s}"),
            *(f"{secret:>40}", f"{secret:x}", f"{secret:.3}", format(secret, "any")),
            *("%s" % secret, "%r" % secret, form.format(secret)),  # noqa: UP031
            *(str([secret]), str({"key": secret}), repr((secret,)), f"{[secret]}"),
        ]:
            self.assertIn(STARS, shown)
            self.assertNotIn("hunter2", shown)
        self.assertNotIn("hunter2", ascii(secret))
        self.assertNotIn(b"hunter2", b"%r" % secret)

    def test_it_is_not_in_a_traceback(self) -> None:
        """Not even in one that shows every local variable."""

        def fail(key: Secret) -> None:
            held = [key]
            raise RuntimeError(key, held)

        shown = ""
        try:
            fail(self.secret)
        except RuntimeError as error:
            shown += "".join(
                traceback.TracebackException.from_exception(
                    error, capture_locals=True
                ).format()
            )
            shown += Failure(captureVars=True).getTraceback(detail="verbose")
        self.assertIn(STARS, shown)
        self.assertNotIn("hunter2", shown)

    def test_it_cannot_be_written_down(self) -> None:
        """No serialiser takes it: an error is better than a leak."""
        for write in [
            *(msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins),
            *(
                json.dumps,
                pickle.dumps,
                copy.copy,
                copy.deepcopy,
                vars,
                bytes,
                len,
                iter,
            ),
        ]:
            for value in [self.secret, [self.secret]]:
                if value is not self.secret and write in (
                    vars,
                    bytes,
                    len,
                    iter,
                    copy.copy,
                ):
                    continue
                with self.assertRaises(TypeError) as caught:
                    write(value)  # type: ignore[operator]
                self.assertNotIn("hunter2", str(caught.exception))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            self.assertRaises(TypeError, pickle.dumps, self.secret, protocol)

    def test_it_is_no_bytes(self) -> None:
        """It cannot slip into a line by being joined to it."""
        secret: Any = self.secret
        for join in [
            lambda: b"Bearer " + secret,
            lambda: "Bearer " + secret,
            lambda: b"%b" % secret,
            lambda: b"%s" % secret,
            lambda: b"".join([secret]),
            lambda: bytearray().extend(secret),
            lambda: secret[0],
        ]:
            self.assertRaises(TypeError, join)

    def test_it_has_no_hash(self) -> None:
        """So it is no key of a dictionary, where values are compared in variable time."""
        self.assertRaises(TypeError, hash, self.secret)
        self.assertRaises(TypeError, lambda: {self.secret})

    def test_it_is_compared_by_value(self) -> None:
        """With another secret only; bytes are never equal to it."""
        self.assertEqual(self.secret, Secret(self.key))
        self.assertNotEqual(self.secret, Secret(self.key + b"x"))
        self.assertNotEqual(self.secret, Secret(b""))
        self.assertFalse(self.secret == self.key)
        self.assertFalse(self.secret == STARS)
        self.assertRaises(TypeError, lambda: self.secret < Secret(self.key))  # type: ignore[operator]

    @STEADY
    @given(st.binary(max_size=40), st.text(max_size=5))
    def test_every_secret_looks_the_same(self, value: bytes, spec: str) -> None:
        """Neither its bytes nor its length can be told from what is shown."""
        secret = Secret(value)
        self.assertEqual({repr(secret), str(secret), format(secret, spec)}, {STARS})


class AskTests(SynchronousTestCase):
    def test_what_was_asked_cannot_be_changed(self) -> None:
        """Who has decided on a request can rely on its being sent like that."""
        ask = Ask(b"GET", b"/a?b", b"/a", [])
        answer = Answer(200, b"OK", [])
        self.assertEqual((ask.length, ask.upgrade), (0, False))
        self.assertRaises(AttributeError, setattr, ask, "path", b"/b")
        self.assertRaises(AttributeError, setattr, answer, "status", 500)


class FirstTests(SynchronousTestCase):
    def test_first_line_of_a_name_is_found(self) -> None:
        """In whatever case it was sent; None when there is none."""
        fields = [(b"A", b"1"), (b"X-b", b"2"), (b"x-B", b"3")]
        self.assertEqual(first(fields, b"x-b"), b"2")
        self.assertIsNone(first(fields, b"x"))
        self.assertIsNone(first([], b"a"))

    def test_all_lines_of_a_name_are_one(self) -> None:
        """In their order; none are an empty one."""
        fields = [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")]
        self.assertEqual(joined(fields, b"a"), b"1, 3")
        self.assertEqual(joined(fields, b"b"), b"2")
        self.assertEqual(joined(fields, b"c"), b"")
