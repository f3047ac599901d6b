"""The second net: secrets taken out of encoded lines by value."""

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote_from_bytes

import msgspec
from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.telemetry.redaction import REMEMBERED, SHORTEST, STARS, Redaction

KEY = b"sk-proj-Ab3XyZ_0-9qQ"
PROFILE = settings(derandomize=True, deadline=None, max_examples=50)

# As configuration accepts them: no control characters, at least eight bytes.
SECRETS = strategies.binary(min_size=8, max_size=60).map(
    lambda raw: bytes(33 + byte % 94 for byte in raw)
)
ANY_SECRETS = strategies.binary(min_size=8, max_size=40)
AROUND = strategies.binary(max_size=5)


def cleaned(redaction: Redaction, value: object) -> str:
    """What is left of a text, or another JSON value, in a line."""
    line = redaction.clean(msgspec.json.encode({"field": value}))
    return str(msgspec.json.decode(line)["field"])


class RedactionTests(SynchronousTestCase):
    """What goes, what stays."""

    def test_secret_becomes_stars(self) -> None:
        """A key in a text is replaced, what stands around it stays."""
        self.assertEqual(
            cleaned(Redaction([KEY]), f"got {KEY.decode()}!"), f"got {STARS}!"
        )

    def test_secret_value_is_taken(self) -> None:
        """Callers need not reveal a secret to have it looked for."""
        self.assertEqual(cleaned(Redaction([Secret(KEY)]), KEY.decode()), STARS)

    def test_clean_line_is_the_same_object(self) -> None:
        """A line without secrets is not copied."""
        line = b'{"event":"request_complete"}'
        self.assertIs(Redaction([KEY]).clean(line), line)

    def test_piece_of_a_secret_is_no_secret(self) -> None:
        """Where only the searched piece of a key occurs, the line keeps its meaning."""
        line = b'{"path":"/XyZ_0-9q/x","n":1.5}'
        cleaned = Redaction([KEY]).clean(line)
        self.assertEqual(msgspec.json.decode(cleaned), msgspec.json.decode(line))

    def test_nothing_to_look_for(self) -> None:
        """Without secrets, or with too short ones, lines stay as they are."""
        for secrets in ([], [b"x" * (SHORTEST - 1)]):
            redaction = Redaction(secrets)
            self.assertFalse(redaction)
            self.assertEqual(redaction.clean(b'{"a":"xxxxx"}'), b'{"a":"xxxxx"}')
            self.assertEqual(redaction.text("xxxxx"), "xxxxx")

    def test_nested_values_and_names(self) -> None:
        """Secrets are found in lists, in objects and in the names of fields."""
        key = KEY.decode()
        line = msgspec.json.encode(
            {key: 1, "a": [key, {"b": key}, None, True, 2.5, 7]},
        )
        cleaned = Redaction([KEY]).clean(line)
        self.assertNotIn(KEY, cleaned)
        self.assertEqual(
            msgspec.json.decode(cleaned),
            {STARS: 1, "a": [STARS, {"b": STARS}, None, True, 2.5, 7]},
        )

    def test_secret_of_digits_in_a_number(self) -> None:
        """A number that is a secret goes too; the line stays JSON."""
        redaction = Redaction([b"8675309123"])
        self.assertEqual(cleaned(redaction, 8675309123), STARS)
        self.assertEqual(cleaned(redaction, 8675309124), "8675309124")

    def test_longer_secret_goes_as_a_whole(self) -> None:
        """Of two secrets, one the beginning of the other, no tail is left."""
        redaction = Redaction([b"abcdefgh", b"abcdefghIJKL"])
        self.assertEqual(cleaned(redaction, "abcdefghIJKL"), STARS)

    def test_basic_credentials(self) -> None:
        """The password of the egress proxy is found in a Basic header."""
        header = b"Basic " + b64encode(b"agent:" + KEY)
        self.assertNotIn(
            b64encode(b"agent:" + KEY).decode()[10:24],
            cleaned(Redaction([KEY]), header.decode()),
        )

    def test_repr_of_bytes(self) -> None:
        """A secret with quotes and backslashes is found in the repr of an exception."""
        secret = b"p\\ss'w\"rd\xff!"
        text = cleaned(Redaction([secret]), repr(ValueError(secret)))
        self.assertEqual(text, f"ValueError(b'{STARS}')")

    def test_memory_is_bounded(self) -> None:
        """Of secrets that were replaced, the latest are looked for, and all given ones."""
        redaction = Redaction([b"secret-00", b"secret-00"])
        for number in range(1, REMEMBERED + 2):
            redaction = Redaction([b"secret-%02d" % number], redaction)
        for number in range(1, REMEMBERED + 2):
            self.assertEqual(cleaned(redaction, f"secret-{number:02d}"), STARS)
        self.assertEqual(cleaned(redaction, "secret-00"), "secret-00")
        many = [b"secret-%02d" % number for number in range(2 * REMEMBERED)]
        self.assertEqual(cleaned(Redaction(many), "secret-31"), STARS)

    def test_repr_shows_no_secret(self) -> None:
        """The list of secrets does not print what it is made of."""
        self.assertRegex(repr(Redaction([KEY])), r"^<Redaction of \d+ spellings>$")


class NoSecretSurvivesTests(SynchronousTestCase):
    """Properties: no spelling of no secret is left, wherever it stands."""

    @PROFILE
    @given(secret=ANY_SECRETS, before=AROUND, after=AROUND)
    def test_plain(self, secret: bytes, before: bytes, after: bytes) -> None:
        """As it is, whatever bytes it has."""
        text = (before + secret + after).decode("latin-1")
        self.assertNotIn(secret.decode("latin-1"), cleaned(Redaction([secret]), text))

    @PROFILE
    @given(secret=SECRETS, before=AROUND, after=AROUND)
    def test_base64(self, secret: bytes, before: bytes, after: bytes) -> None:
        """In base64 of either alphabet, at any offset, percent-encoded or not."""
        redaction = Redaction([secret])
        for encode in (b64encode, urlsafe_b64encode):
            whole = encode(before + secret + after)
            for text in (whole.decode(), quote_from_bytes(whole, safe="")):
                left = cleaned(redaction, text)
                self.assertIn(STARS, left)
                # At most the edges, which hold bits of the secret's first and last byte.
                kept = len(left) - len(STARS) * left.count(STARS)
                edge = len(before) * 8 // 6 + len(after) * 8 // 6 + 8
                self.assertLessEqual(kept, edge + 2 * text.count("%"))

    @PROFILE
    @given(secret=SECRETS, lower=strategies.booleans())
    def test_percent_encoding(self, secret: bytes, lower: bool) -> None:
        """Percent-encoded: what must be, what may be, and every byte; either case."""
        redaction = Redaction([secret])
        for text in (
            quote_from_bytes(secret),
            quote_from_bytes(secret, safe=""),
            quote_from_bytes(secret, safe="!#$&'()*+,/:;=?@[]~"),
            "".join(f"%{byte:02X}" for byte in secret),
        ):
            spelled = "".join(
                part.lower() if lower and "%" in text[max(0, i - 2) : i + 1] else part
                for i, part in enumerate(text)
            )
            left = cleaned(redaction, f"https://host/?key={spelled}&x=1")
            self.assertEqual(left, f"https://host/?key={STARS}&x=1")

    @PROFILE
    @given(secrets=strategies.lists(SECRETS, min_size=2, max_size=6))
    def test_all_of_several(self, secrets: list[bytes]) -> None:
        """All secrets of a list are found in one line, which stays JSON."""
        text = " ".join(secret.decode() for secret in secrets)
        left = cleaned(Redaction(secrets), text)
        for secret in secrets:
            self.assertNotIn(secret.decode(), left)
