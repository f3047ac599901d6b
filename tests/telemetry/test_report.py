"""What can be told of a process, and of several together."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Tally


class ReportTests(SynchronousTestCase):
    def some(self, *providers: str) -> Report:
        return Report(
            version="1",
            uptime=3.0,
            tallies={
                name: Tally(active=1, requests={("GET", 2): 2}) for name in providers
            },
            upstream_lines=[(name, "idle", 4) for name in providers],
            log_lines_dropped=5,
        )

    def test_two_together(self) -> None:
        """What was counted and what goes on; how old it is stays."""
        both = self.some("openai", "gemini")
        other = self.some("openai", "vertex")
        both.include(other)
        self.assertEqual(list(both.tallies), ["openai", "gemini", "vertex"])
        self.assertEqual(both.tallies["openai"].requests, {("GET", 2): 4})
        self.assertEqual(
            both.upstream_lines,
            [("openai", "idle", 8), ("gemini", "idle", 4), ("vertex", "idle", 4)],
        )
        self.assertEqual((both.log_lines_dropped, both.uptime), (10, 3.0))
        both.tallies["vertex"].active = 9
        self.assertEqual(other.tallies["vertex"].active, 1)

    def test_one_that_is_gone(self) -> None:
        """Nothing goes on there, but nothing that was counted is lost."""
        gone = self.some("openai")
        gone.tallies["openai"].sockets = 1
        gone.end()
        tally = gone.tallies["openai"]
        self.assertEqual((tally.active, tally.sockets, gone.upstream_lines), (0, 0, []))
        self.assertEqual((tally.requests, gone.log_lines_dropped), ({("GET", 2): 2}, 5))

    def test_it_is_shown(self) -> None:
        """As JSON, as text, and as a few figures."""
        report = self.some("openai")
        report.workers, report.restarts, report.silences = 2, 3, 4
        self.assertIn(b'"requests_total:openai:GET:2xx":2', report.as_json())
        text = report.as_text()
        for line in (
            b"apiproxy_workers 2.0\n",
            b"apiproxy_worker_restarts_total 3.0\n",
            b"apiproxy_worker_silences_total 4.0\n",
        ):
            self.assertIn(line, text)
        self.assertEqual(report.summary()["total_requests"], 2)
