"""What can be told of a process, and of several together."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.report import Report
from apiproxy.telemetry.tally import Tally
from tests.telemetry.responses import COST, record, response


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
            usage_lines_dropped=6,
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
        self.assertEqual(both.usage_lines_dropped, 12)
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

    def test_usage(self) -> None:
        """The flat names of the Node sidecar, and more of them; a model's name comes last."""
        report = self.some("openai", "gemini")
        usage = report.tallies["openai"].usage
        usage.add(response(record(model="a:b"), cost=COST))
        usage.add(response(record(usage=None, gap="content_encoding")))
        usage.refusals["ai_credits_limit_exceeded"] = 2
        usage.rate_limits["rpm"] = 3
        counters = msgspec.json.decode(report.as_json())["counters"]
        figures = {key: n for key, n in counters.items() if "requests" not in key}
        self.assertEqual(
            figures,
            {
                "input_tokens_total:openai": 100,
                "output_tokens_total:openai": 20,
                "cache_read_tokens_total:openai": 30,
                "cache_write_tokens_total:openai": 10,
                "reasoning_tokens_total:openai": 5,
                "ai_credits_total:openai": 0.475,
                "responses_total:openai:metered": 1,
                "responses_total:openai:unmetered": 1,
                "answer_bytes_total:openai:metered": 85,
                "answer_bytes_total:openai:unmetered": 85,
                "gaps_total:openai:content_encoding": 1,
                "gap_bytes_total:openai:content_encoding": 85,
                "budget_refused_total:openai:ai_credits_limit_exceeded": 2,
                "rate_limit_rejected_total:openai:rpm": 3,
                "model_tokens_total:openai:input:a:b": 60,
                "model_tokens_total:openai:cached:a:b": 30,
                "model_tokens_total:openai:written:a:b": 10,
                "model_tokens_total:openai:output:a:b": 20,
                "model_tokens_total:openai:reasoning:a:b": 5,
            },
        )

    def test_coverage(self) -> None:
        """What was metered of each provider that was asked for anything, and what not."""
        report = self.some("openai", "gemini")
        report.tallies["openai"].usage.add(response(record(usage=None)))
        self.assertEqual(
            report.coverage(),
            {
                "openai": {
                    "responses": {"unmetered": 1},
                    "bytes": {"unmetered": 85},
                    "gaps": {"no_usage": 1},
                    "gap_bytes": {"no_usage": 85},
                }
            },
        )

    def test_it_can_be_sent(self) -> None:
        """A worker's report reaches the front as it is."""
        report = self.some("openai")
        report.tallies["openai"].usage.add(response(cost=COST))
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=Report)
        self.assertEqual(sent, report)
