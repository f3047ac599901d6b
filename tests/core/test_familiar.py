"""What is remembered of header lines, and what never is."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.familiar import Familiar, repeats
from apiproxy.core.head import NotALine, split_line
from apiproxy.core.headers import CREDENTIAL_SLOTS, answer_kind, request_kind
from tests.kit.hypothesis_profile import STEADY

SECRET = (
    b"Authorization: Bearer sk-secret",
    b"Cookie: a=secret",
    b"Set-Cookie: a=secret",
    b"Location: https://example.com/?X-Amz-Signature=secret",
    b"Referer: https://example.com/?key=secret",
    b"X-Customer-Pat: secret",
    b"X-JWT: secret",
    b"Sec-WebSocket-Protocol: openai-insecure-api-key.secret",
)


class FamiliarTests(SynchronousTestCase):
    def test_the_usual_lines_are_remembered(self) -> None:
        """The second time the very same pair comes back."""
        familiar = Familiar(request_kind())
        line = b"User-Agent:  OpenAI/Python 2.8.1 "
        first = familiar.split(line)
        self.assertEqual(first, (b"User-Agent", b"OpenAI/Python 2.8.1"))
        self.assertIs(familiar.split(line), first)
        self.assertEqual(familiar.kind(b"User-Agent"), b"")
        self.assertEqual(repr(familiar), "<Familiar with 1 lines, 1 names>")

    def test_nothing_secret_is_remembered(self) -> None:
        """Neither a credential nor a link that is one; not even for a moment."""
        familiar = Familiar(answer_kind)
        for line in SECRET:
            familiar.split(line)
            self.assertNotIn("1 lines", repr(familiar), line)
        for name in CREDENTIAL_SLOTS:
            self.assertFalse(repeats((name.title(), b"x")), name)

    def test_what_is_no_line_is_refused_each_time(self) -> None:
        """A refusal is not remembered as something else."""
        familiar = Familiar(request_kind())
        for _ in range(2):
            self.assertRaises(NotALine, familiar.split, b"Host : a")

    def test_each_side_has_its_own(self) -> None:
        """What one provider's slot is, another's is not."""
        mine = Familiar(request_kind(frozenset({b"x-mine"})))
        other = Familiar(request_kind())
        self.assertEqual(mine.kind(b"X-Mine"), b"x-mine")
        self.assertEqual(other.kind(b"X-Mine"), b"")

    @STEADY
    @given(
        st.lists(
            st.sampled_from(
                (b"Accept", b"Host", b"X-Key", b"Host ", b"Accept\t")
            ).flatmap(
                lambda name: st.binary(max_size=4).map(lambda v: name + b":" + v)
            ),
            max_size=30,
        )
    )
    def test_looking_up_gives_what_splitting_gives(self, lines: list[bytes]) -> None:
        """For every line, and also when it comes again."""
        familiar = Familiar(request_kind())
        for line in [*lines, *lines]:
            try:
                expected = split_line(line)
            except NotALine:
                self.assertRaises(NotALine, familiar.split, line)
            else:
                self.assertEqual(familiar.split(line), expected)
