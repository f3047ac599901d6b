"""Tests of bench.wrk: what wrk prints, read."""

from twisted.trial.unittest import SynchronousTestCase

from bench.wrk import Load, WrkFailed, parse

_GOOD = """\
Running 2s test @ http://127.0.0.1:18000/v1/chat/completions
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.12ms    1.01ms  21.90ms   88.64%
    Req/Sec     7.75k   512.01     8.40k    70.00%
  Latency Distribution
     50%    4.00ms
     75%  500.00us
     90%    1.20s
     99%    2.00m
  15432 requests in 2.00s, 14.01MB read
Requests/sec:   7712.33
Transfer/sec:      7.00MB
"""
_BAD = """\
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 17
"""


class ParseTests(SynchronousTestCase):
    def test_counts_and_percentiles_are_read_in_milliseconds(self) -> None:
        """Whatever unit wrk chose for each; its averages are not taken for percentiles."""
        load = parse(_GOOD)
        shares = {50.0: 4.0, 75.0: 0.5, 90.0: 1200.0, 99.0: 120000.0}
        self.assertEqual(load, Load(15432, 2.0, shares))
        self.assertEqual(load.rate, 7716.0)

    def test_errors_are_counted(self) -> None:
        """Refusals apart from broken sockets."""
        load = parse(_GOOD + _BAD)
        self.assertEqual((load.refused, load.broken), (17, 10))

    def test_anything_else_fails_with_what_was_said(self) -> None:
        """The end of it, so that the table can give the reason."""
        error = self.assertRaises(WrkFailed, parse, "unable to connect")
        self.assertIn("unable to connect", str(error))
        self.assertIn("nothing", str(self.assertRaises(WrkFailed, parse, "")))
