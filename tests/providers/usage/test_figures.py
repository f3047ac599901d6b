"""Tests of ``apiproxy.providers.usage.figures``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.figures import first_of, inclusive, larger, sum_of
from apiproxy.providers.usage.shapes import CachedDetails, Kind, read_event


class FigureTests(SynchronousTestCase):
    def test_the_first_figure_counts(self) -> None:
        """Also if it is 0."""
        self.assertEqual(first_of(None, 0, 7), 0)
        self.assertIsNone(first_of(None, None))

    def test_what_cannot_be_believed_is_as_if_it_was_not_told(self) -> None:
        """Negative, far too large, or no number; the rest of the document is read."""
        for wrong in (b"-1", b"1e15", b"1125899906842624", b"true", b'"7"', b"0.5"):
            event = read_event(
                b'{"id":"a","usage":{"prompt_tokens":%b,"completion_tokens":5}}' % wrong
            )
            assert event is not None
            assert event.usage is not None
            self.assertEqual(
                (event.id, event.usage.prompt_tokens, event.usage.completion_tokens),
                ("a", None, 5),
                wrong,
            )

    def test_a_breakdown_is_added_up(self) -> None:
        """To a depth that no provider reaches."""
        deep = Kind("a", 1)
        for _ in range(50):
            deep = Kind("a", 1, [deep])
        self.assertEqual(sum_of([deep, Kind("b", 5), Kind("a", None)], "a"), 9)
        self.assertIsNone(sum_of([Kind("b", 5)], "a"))
        self.assertIsNone(sum_of(None, "a"))

    def test_parts_are_never_more_than_the_whole(self) -> None:
        """Whatever a provider says."""
        usage = inclusive(
            10,
            5,
            cached=8,
            written=9,
            reasoning=7,
            audio=(9, 9),
            image=(9, 9),
            of_cached=CachedDetails(1, 9),
        )
        self.assertEqual(
            usage,
            Usage(
                input=0,
                cached=8,
                written=2,
                output=5,
                reasoning=5,
                audio_output=5,
                image_output=5,
                inclusive=True,
            ),
        )

    def test_the_larger_of_each_figure(self) -> None:
        """Sums only grow."""
        one = Usage(input=1, cached=9, output=3)
        self.assertEqual(larger(None, one), one)
        self.assertEqual(
            larger(one, Usage(input=2, output=1)), Usage(input=2, cached=9, output=3)
        )
