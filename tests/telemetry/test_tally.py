"""The figures of one provider, added up."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.tally import REQUEST_SECONDS, Histogram, Tally


class TallyTests(SynchronousTestCase):
    def some(self, number: int) -> Tally:
        """So many of everything."""
        tally = Tally(active=number, sockets=number, bytes_up=number, retries=number)
        tally.requests["GET", 2] = number
        tally.errors["agent_gone"] = number
        tally.duration.add(number)
        tally.usage.reported = number
        tally.usage.responses["metered"] = number
        return tally

    def test_two_processes_together(self) -> None:
        """Every figure is the sum, and the other one stays as it was."""
        both, other = self.some(1), self.some(2)
        other.requests["POST", 5] = 7
        both.include(other)
        self.assertEqual(both.requests, {("GET", 2): 3, ("POST", 5): 7})
        self.assertEqual((both.active, both.sockets, both.retries), (3, 3, 3))
        self.assertEqual((both.duration.count, both.duration.sum), (2, 3.0))
        self.assertEqual(both.usage.reported, 3)
        both.include(self.some(5))
        self.assertEqual((other.errors, other.duration.count), ({"agent_gone": 2}, 1))

    def test_nothing_is_left_out(self) -> None:
        """Whatever figures there will be."""
        both = Tally()
        one = self.some(3)
        both.include(one)
        self.assertEqual(both, one)

    def test_each_has_its_own(self) -> None:
        """Two tallies share nothing."""
        one, other = Tally(), Tally()
        one.errors["x"] = 1
        one.duration.add(1)
        self.assertEqual((other.errors, other.duration.count), ({}, 0))

    def test_histograms_of_one_shape(self) -> None:
        """They are added bin by bin; others cannot be."""
        one, other = Histogram(REQUEST_SECONDS), Histogram(REQUEST_SECONDS)
        one.add(0.02)
        other.add(0.02)
        other.add(1000)
        one.include(other)
        self.assertEqual((one.bins[1], one.bins[-1], one.count), (2, 1, 3))
        self.assertRaises(ValueError, one.include, Histogram((1.0,)))
