"""Tests of ``apiproxy.providers.usage.bedrock``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.bedrock import (
    converse_usage,
    header_usage,
    invocation_usage,
)
from apiproxy.providers.usage.shapes import Invocation, Tokens


class BedrockTests(SynchronousTestCase):
    def test_the_cache_is_told_beside_the_input(self) -> None:
        """In all three places."""
        usage = Usage(input=3, cached=5, written=6, output=4)
        tokens = Tokens(
            converse_input=3, converse_output=4, converse_read=5, converse_written=6
        )
        self.assertEqual(converse_usage(tokens), usage)
        self.assertEqual(invocation_usage(Invocation(3, 4, 5, 6)), usage)
        names = ("input", "output", "cache-read-input", "cache-write-input")
        fields = [
            (f"X-Amzn-Bedrock-{name}-Token-Count".encode(), str(figure).encode())
            for name, figure in zip(names, (3, 4, 5, 6), strict=True)
        ]
        self.assertEqual(header_usage(fields), usage)

    def test_nothing_told_is_nothing(self) -> None:
        """Lines that are no figures are none."""
        self.assertIsNone(converse_usage(Tokens()))
        self.assertIsNone(invocation_usage(Invocation()))
        self.assertIsNone(header_usage([(b"x-amzn-bedrock-input-token-count", b"x")]))
