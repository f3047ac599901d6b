"""Tokens: made, narrowed, verified."""

import os
import re

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.tokens import LOOKS, MAX_TOKEN, Narrowed, Verifier, make, narrow

SHAPES = {
    "openai": rb"sk-[A-Za-z0-9]{48}",
    "anthropic": rb"sk-ant-api03-[A-Za-z0-9]{95}",
    "copilot": rb"ghu_[A-Za-z0-9]{36}",
    "gemini": rb"AIza[A-Za-z0-9]{35}",
    "vertex": rb"AIza[A-Za-z0-9]{35}",
    "plain": rb"[A-Za-z0-9]{36}",
}

CAVEATS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5)


class TokenTests(SynchronousTestCase):
    """Whole tokens."""

    def test_they_look_like_a_providers(self) -> None:
        """So that a client which checks the shape of its key is content."""
        self.assertEqual(set(SHAPES), set(LOOKS))
        for look, shape in SHAPES.items():
            for chance in (os.urandom, bytes, lambda count: b"\xff" * count):
                token = make(look, chance)
                self.assertTrue(re.fullmatch(shape, token), (look, token))

    def test_none_is_made_twice(self) -> None:
        """All of the chance is in it."""
        one = bytes(25) + b"\1"
        self.assertNotEqual(make("gemini", bytes), make("gemini", lambda count: one))

    def test_a_verifier_is_not_the_token(self) -> None:
        """It can be written down and read again, and shows no chain."""
        token = make("openai", os.urandom)
        for narrowing in (True, False):
            verifier = Verifier.of(token, narrowing=narrowing)
            self.assertEqual(Verifier.parse(verifier.text()), verifier)
            self.assertNotIn(token.decode(), verifier.text())
            self.assertEqual("chain:" in verifier.text(), narrowing)
            self.assertEqual(repr(verifier), f"<Verifier {verifier.id.hex()}>")

    def test_what_is_no_verifier(self) -> None:
        """A token above all: it does not belong into the list."""
        for text in ("", "sk-abc", "sha256:00", "sha256:" + "0" * 64 + " chain:1"):
            self.assertRaises(ValueError, Verifier.parse, text)


class NarrowingTests(SynchronousTestCase):
    """Tokens that may do less."""

    def setUp(self) -> None:
        self.token = make("copilot", lambda count: bytes(range(count)))
        self.verifier = Verifier.of(self.token)
        assert self.verifier.chain is not None
        self.chain = self.verifier.chain

    def parsed(self, token: bytes) -> Narrowed:
        """A token that is one."""
        narrowed = Narrowed.parse(token)
        assert narrowed is not None
        return narrowed

    @given(CAVEATS, CAVEATS)
    def test_a_chain_is_verified(self, first: list[bytes], then: list[bytes]) -> None:
        """Whether the caveats were added at once or one after the other."""
        token = narrow(self.token, [*first, *then])
        self.assertEqual(token, narrow(narrow(self.token, first), then))
        narrowed = self.parsed(token)
        self.assertEqual(narrowed.caveats, (*first, *then))
        self.assertEqual(narrowed.id, self.verifier.id)
        self.assertTrue(narrowed.verified(self.chain))
        self.assertTrue(token.startswith(b"ghu_apxn"))

    @given(CAVEATS, st.data())
    def test_nothing_can_be_taken_out(
        self, caveats: list[bytes], data: st.DataObject
    ) -> None:
        """Nor changed, nor put in another order, with the signature there is."""
        narrowed = self.parsed(narrow(self.token, caveats))
        others = data.draw(
            st.sampled_from([caveats[:-1], caveats[1:], [*caveats, b"x"], [b"y"]])
        )
        if others == caveats or not others:
            return
        forged = Narrowed(narrowed.id, tuple(others), narrowed.signature)
        self.assertFalse(self.parsed(forged.token()).verified(self.chain))

    @given(CAVEATS, st.integers(0, 10_000), st.integers(1, 255))
    def test_no_byte_can_be_changed(
        self, caveats: list[bytes], place: int, change: int
    ) -> None:
        """Not a single one."""
        token = narrow(self.token, caveats)
        data = bytearray.fromhex(token.partition(b"apxn")[2].decode())
        data[place % len(data)] ^= change
        narrowed = Narrowed.parse(b"apxn" + data.hex().encode())
        if narrowed is not None and narrowed.id == self.verifier.id:
            self.assertFalse(narrowed.verified(self.chain))

    @given(st.binary(max_size=200))
    def test_nonsense_is_no_narrowed_token(self, noise: bytes) -> None:
        """It is refused, and nothing is raised."""
        for token in (noise, b"apxn" + noise, b"apxn" + noise.hex().encode()):
            narrowed = Narrowed.parse(token)
            if narrowed is not None:
                self.assertFalse(narrowed.verified(self.chain))

    def test_other_tokens_have_other_chains(self) -> None:
        """A verifier of one says nothing of what was narrowed from another."""
        other = narrow(make("openai", os.urandom), [b"m=a"])
        self.assertFalse(self.parsed(other).verified(self.chain))

    def test_bounds(self) -> None:
        """Of what is looked at, and of what is made."""
        for caveats in ([b"x"] * 17, [b""], [b"x" * 256]):
            self.assertRaises(ValueError, narrow, self.token, caveats)
        self.assertRaises(ValueError, narrow, b"short", [b"x"])
        self.assertRaises(ValueError, narrow, self.token, [b"x" * 255] * 10)
        self.assertIsNone(Narrowed.parse(b"x" * (MAX_TOKEN + 1)))
        many = Narrowed(bytes(8), (b"x",) * 17, bytes(32)).token()
        self.assertIsNone(Narrowed.parse(many))

    def test_repr(self) -> None:
        """Shows no signature."""
        narrowed = self.parsed(narrow(self.token, [b"m=a"]))
        self.assertEqual(repr(narrowed), f"<Narrowed {narrowed.id.hex()} 1 caveats>")
