"""The books of one process: rules change, ledger and log stay."""

import json
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred

from apiproxy.bookkeeping import Bookkeeping, Common
from apiproxy.config import Settings
from apiproxy.core.errors import (
    RunsExceeded,
)
from apiproxy.core.exchange import Exchange
from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.policy.ledger import LedgerUnavailable
from apiproxy.policy.rate import RateLimits
from apiproxy.telemetry.counters import Counters
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.trust import trust
from apiproxy.wire.ways import Ways
from tests.kit.case import LoopbackCase
from tests.squid.proxy import read_settings

ASKED = Demand(True, "gpt-4o", 100, 50)


def settings(**environ: str) -> Settings:
    """Settings of a process with one key."""
    return read_settings({"OPENAI_API_KEY": "sk-x", **environ})


class BooksCase(LoopbackCase):
    def setUp(self) -> None:
        """Take the reactor."""
        super().setUp()
        self.lines: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.counters = Counters(now=time.monotonic, version="0")
        self.log = LineLog(
            lambda line: self.lines.append(json.loads(line)),
            level="info",
            now=time.time,
        )

    def books(self, chosen: Settings, **arguments: Any) -> Bookkeeping:
        """Books that are not open yet."""
        reactor = cast(Reactor, self.reactor)
        return Bookkeeping(
            chosen,
            reactor,
            Ways(reactor, trust(), chosen.deadlines),
            self.log,
            self.counters,
            seconds=time.monotonic,
            complain=lambda sentence, error: self.complaints.append(sentence),
            **arguments,
        )

    def exchange(self) -> Exchange:
        """One that has left."""
        exchange = Exchange(
            "id-1",
            "openai",
            "POST",
            "/v1/responses",
            seconds=time.monotonic,
        )
        exchange.forward(reused=False)
        return exchange

    async def respond(self, books: Bookkeeping) -> None:
        """A response of 10 and 5 tokens."""
        assert books.metering is not None
        passage = await books.metering.admit(self.exchange(), ASKED)
        passage.record(Record(Usage(input=10, output=5), "gpt-4o", state="completed"))
        passage.end(None)
        books.flush()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of this event."""
        return [line for line in self.lines if line["event"] == name]


class LifeTests(BooksCase):
    async def test_it_is_all_written_down(self) -> None:
        """In the usage log, the log, the metrics and the ledger, which outlives us."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        chosen = settings(
            APIPROXY_USAGE_LOG_DIR=str(folder),
            APIPROXY_STATE_DIR=str(folder / "state"),
            AWF_MAX_RUNS="9",
        )
        books = self.books(chosen)
        books.open()
        await self.respond(books)
        self.assertEqual(self.counters.tally("openai").usage.total("output"), 5)
        shown = cast(dict[str, Any], books.shown())
        self.assertEqual(shown["runs"]["invocation_count"], 1)
        self.assertEqual(shown["effective_tokens"]["total_effective_tokens"], 30)
        books.use(settings(AWF_MAX_RUNS="1", AWF_RATE_LIMIT_ENABLED="1"))
        with self.assertRaises(RunsExceeded):
            await self.respond(books)
        await books.close()
        (line,) = (folder / "token-usage.jsonl").read_text().splitlines()
        self.assertEqual(json.loads(line)["output_tokens"], 5)
        again = self.books(chosen)
        again.open()
        shown = cast(dict[str, Any], again.shown())
        self.assertEqual(shown["runs"]["invocation_count"], 1)
        await again.close()
        self.assertEqual(self.complaints, [])

    async def test_a_reload_turns_warnings_on(self) -> None:
        """Not only looking for where they would go."""
        books = self.books(settings())
        books.use(
            settings(APIPROXY_ENABLE_TOKEN_STEERING="true", APIPROXY_MAX_AI_CREDITS="1")
        )
        assert books.metering is not None
        body = b'{"model":"gpt-4o","instructions":"Be kind."}'
        edited = books.metering._editor.edit("responses", body, stream=False, used=0.9)
        self.assertIn(b"TOKEN WARNING", edited.body)
        await books.close()

    async def test_a_reload_leaves_places_taken(self) -> None:
        """Else as many more would be carried with each key that is rotated."""
        chosen = settings(APIPROXY_MAX_CONCURRENT="1", APIPROXY_MAX_WAITING="1")
        books = self.books(chosen)
        demand = Demand(inference=True, model="gpt-4o")
        assert books.metering is not None
        passage = await books.metering.admit(self.exchange(), demand)
        books.use(chosen)
        waits = Deferred.fromCoroutine(books.metering.admit(self.exchange(), demand))
        self.assertNoResult(waits)
        passage.end(None)
        (await waits).end(None)
        await books.close()

    async def test_nothing_is_metered(self) -> None:
        """Where that is switched off."""
        books = self.books(settings(APIPROXY_METERING="off"))
        self.assertIsNone(books.metering)
        self.assertEqual(books.rate_limits(), {})
        with self.assertRaises(LedgerUnavailable):
            books.set_cap("run:r", "runs", 1, None)
        books.use(settings())
        self.assertIsNotNone(books.metering)
        self.assertEqual(books.rate_limits(), {})
        await books.close()

    async def test_a_ledger_that_is_away(self) -> None:
        """Is shown as such: on a disk, and on another host, where nobody listens."""
        books = self.books(settings(APIPROXY_LEDGER="redis://127.0.0.1:1/0"))
        books.open()
        shown = books.shown()
        self.assertEqual(await cast(Any, shown), {"ledger": {"available": False}})
        await books.close()
        books = self.books(settings())

        def broken() -> None:
            raise LedgerUnavailable

        books._store.standings = broken  # type: ignore[method-assign,assignment]
        self.assertEqual(books.shown(), {"ledger": {"available": False}})


class PlaceTests(BooksCase):
    def test_figures_that_processes_share(self) -> None:
        """Each writes its own part of them, and all count."""
        chosen = settings(AWF_RATE_LIMIT_ENABLED="1", AWF_RATE_LIMIT_RPM="2")
        figures = [0] * RateLimits.size(len(chosen.providers), 2)
        first, books = (
            self.books(chosen, common=Common(figures, worker, 2)) for worker in range(2)
        )
        assert first.metering is not None
        assert books.metering is not None
        for each in (first, books):
            assert each.metering is not None
            self.assertIsNone(each.metering.limit(self.exchange()))
        self.assertIsNotNone(books.metering.limit(self.exchange()))
        self.assertEqual(list(books.rate_limits()), ["openai"])
