"""From a demand to a settled record: what stands at the way in."""

import gzip
from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import (
    AgentGone,
    BodyUnreadable,
    BudgetReserved,
    LedgerAway,
    ModelRefused,
    PriceUnknown,
    RateLimited,
    RunsExceeded,
    TokensExceeded,
    Unmetered,
)
from apiproxy.core.grant import Allowance, Grant
from apiproxy.core.usage import Demand
from apiproxy.core.values import Ask
from apiproxy.policy.rules import Budgets, Models, Places, Rates, Rules, Steering
from apiproxy.wire.passage import Passage
from tests.kit.books import Desk, capped

CHAT = b"/v1/chat/completions"
ASKED = Demand(True, "gpt-4o", 100, 50)
BODY = b'{"model":"gpt-4o","max_tokens":50,"stream":true,"messages":[]}'


def ask(
    path: bytes = CHAT, method: bytes = b"POST", *fields: tuple[bytes, bytes]
) -> Ask:
    """A request."""
    return Ask(method, path, path, list(fields), 10)


class MeteringCase(SynchronousTestCase):
    def desk(self, rules: Rules | None = None, **more: Any) -> Desk:
        """A new desk."""
        self.clock = Clock()
        return Desk(self.clock, rules, **more)

    def of(self, story: Awaitable[Any]) -> Deferred[Any]:
        """What becomes of it."""

        async def told() -> Any:
            return await story

        return Deferred.fromCoroutine(told())

    def admitted(self, desk: Desk, demand: Demand = ASKED) -> Passage:
        """The passage of a demand that may leave."""
        story = self.of(desk.metering.admit(desk.exchange(), demand))
        passage = self.successResultOf(story)
        assert isinstance(passage, Passage)
        return passage


class PassingTests(MeteringCase):
    def test_only_what_makes_a_model_work_has_a_passage(self) -> None:
        """Where no rule sees it before."""
        metering = self.desk().metering
        exchange = self.desk().exchange()
        self.assertFalse(metering.gates(exchange))
        self.assertFalse(metering.holds(exchange))
        self.assertIsNotNone(metering.passage(exchange, ask()))
        self.assertIsNone(metering.passage(exchange, ask(method=b"GET")))
        self.assertIsNone(metering.passage(exchange, ask(b"/v1/files")))
        self.assertTrue(metering.asks(ask()))
        self.assertFalse(metering.asks(ask(method=b"GET")))
        self.assertFalse(metering.asks(ask(b"/v1/files")))
        self.assertIn("Accounts", repr(metering))

    def test_what_makes_rules_see_requests(self) -> None:
        """A budget, places, or a cap that an operator sets; rates only for messages."""
        exchange = self.desk().exchange()
        for rules in (capped(runs=1), Rules(places=Places(concurrent=1))):
            self.assertTrue(self.desk(rules).metering.gates(exchange))
        desk = self.desk()
        desk.accounts.capped = True
        self.assertTrue(desk.metering.gates(exchange))
        rated = self.desk(Rules(rates=Rates(enabled=True))).metering
        seen = rated.gates(exchange), rated.holds(exchange)
        self.assertEqual(seen, (False, True))
        exchange.grant = Grant("one", models=(("gpt-*",),))
        self.assertTrue(self.desk().metering.gates(exchange))
        exchange.grant = Grant("one")
        self.assertFalse(self.desk().metering.gates(exchange))

    def test_which_sockets_are_followed(self) -> None:
        """Those on which models are talked to."""
        metering = self.desk().metering
        self.assertTrue(metering.follows(ask(b"/v1/responses", b"GET")))
        self.assertFalse(metering.follows(ask(b"/v1/files", b"GET")))
        self.assertFalse(metering.follows(ask(CHAT, b"GET")))

    def test_a_claim_is_made_and_given_back(self) -> None:
        """What it set aside is free again."""
        desk = self.desk(capped(tokens=10**9))
        passage = self.admitted(desk)
        self.assertGreater(desk.ledger.standing("tokens").reserved, 0)
        passage.end(None)
        self.assertEqual(desk.ledger.standing("tokens").reserved, 0)

    def test_what_cannot_be_counted_by_a_limit_of_a_caller(self) -> None:
        """Is refused to that caller alone."""
        desk = self.desk()
        exchange = desk.exchange()
        batches = ask(b"/v1/batches")
        self.assertIsNone(desk.metering.uncounted(exchange, batches))
        exchange.grant = Grant("ci", models=(("gpt-*",),))
        self.assertIsInstance(desk.metering.uncounted(exchange, batches), Unmetered)
        self.assertIsNone(desk.metering.uncounted(exchange, ask()))

    def test_a_model_without_a_price_and_a_caller_with_a_budget(self) -> None:
        """It is refused to that caller alone."""
        desk = self.desk()
        exchange, demand = desk.exchange(), Demand(True, "zzz", 100, 50)
        for grant, code in (
            (Grant("ci"), None),
            (Grant("ci", (), (Allowance("caller:ci", "money", 9),)), PriceUnknown),
        ):
            exchange.grant = grant
            admitted = Deferred.fromCoroutine(desk.metering.admit(exchange, demand))
            if code is None:
                self.successResultOf(admitted).end(None)
            else:
                self.failureResultOf(admitted, code)

    def test_leaving_early_is_not_free(self) -> None:
        """The provider may keep an answer that nobody waited for; so it counts as usual."""
        desk = self.desk(capped(tokens=10**9))
        passage = self.admitted(desk)
        passage.exchange.forward(reused=False, dial_seconds=0.0)
        passage.end(AgentGone())
        self.assertEqual(desk.ledger.standing("tokens").spent, (25 + 4 * 50) * 1000)
        desk.accounts.flush()
        self.assertTrue(desk.told[0].record.estimated)

    def test_what_asks_no_model_claims_nothing(self) -> None:
        """Nor does it take a place."""
        desk = self.desk(Rules(places=Places(concurrent=1)))
        for _ in range(3):
            self.assertIsNone(self.admitted(desk, Demand(False)).claim)

    def test_a_body_is_read_and_edited(self) -> None:
        """Usage is asked for where a budget needs it; never in an encoded one."""
        desk = self.desk(capped(tokens=10**9))
        story = desk.metering.enter(desk.exchange(), ask(), BODY)
        entered = self.successResultOf(self.of(story))
        self.assertEqual(entered.passage.shape, "chat")
        self.assertIn(b'"include_usage":true', entered.body)
        plain = ask(CHAT, b"POST", (b"content-encoding", b"identity"))
        story = desk.metering.enter(desk.exchange(), plain, BODY)
        edited = self.successResultOf(self.of(story)).body
        self.assertIn(b'"include_usage":true', edited)
        packed = ask(CHAT, b"POST", (b"content-encoding", b"gzip"))
        body = gzip.compress(b'{"model":"gpt-4o"}')
        story = desk.metering.enter(desk.exchange(), packed, body)
        self.assertEqual(self.successResultOf(self.of(story)).body, body)
        other = desk.metering.enter(desk.exchange(), ask(b"/v1/files"), b"x")
        self.assertEqual(self.successResultOf(self.of(other)).body, b"x")

    def test_usage_is_asked_for_a_budget_of_the_caller_or_an_operator(self) -> None:
        """Else it would not be known what a model has thought for them."""
        tokens, runs = (
            Grant("ci", (), (Allowance("caller:ci", measure, 10**9),))
            for measure in ("tokens", "runs")
        )
        for grant, capped_, include, asked in (
            (tokens, False, "auto", True),
            (None, True, "auto", True),
            (runs, False, "auto", False),
            (None, False, "auto", False),
            (tokens, True, "off", False),
        ):
            desk = self.desk(Rules(budgets=Budgets(include_usage=include)))  # type: ignore[arg-type]
            desk.accounts.capped = capped_
            exchange = desk.exchange()
            exchange.grant = grant
            story = self.of(desk.metering.enter(exchange, ask(), BODY))
            body = self.successResultOf(story).body
            self.assertEqual(b'"include_usage":true' in body, asked)
            packed = ask(CHAT, b"POST", (b"content-encoding", b"gzip"))
            story = self.of(desk.metering.enter(exchange, packed, gzip.compress(BODY)))
            if asked:
                self.failureResultOf(story, BodyUnreadable)
            else:
                self.successResultOf(story)


class RefusingTests(MeteringCase):
    def test_streams_that_cannot_be_asked_for_their_usage(self) -> None:
        """Packed, nested too deep, or no JSON to the letter: no way to think for nothing."""
        desk = self.desk(capped(tokens=10**9))
        packed = gzip.compress(BODY)
        deep = b'{"stream":1,"x":' + b"[" * 100 + b"]" * 100 + b"}"
        gzipped = (b"content-encoding", b"gzip")
        for body, fields, reason in (
            (packed, [gzipped], "content_encoding"),
            (deep, [], "nested_too_deep"),
            (b'{"stream":true,"x":NaN}', [], "not_json"),
        ):
            asked = ask(CHAT, b"POST", *fields)
            story = self.of(desk.metering.enter(desk.exchange(), asked, body))
            error = self.failureResultOf(story, BodyUnreadable).value
            self.assertEqual(error.details["reason"], reason)
            self.assertEqual(desk.ledger.standing("tokens").reserved, 0)

    def refusal(self, desk: Desk, kind: type[Exception], demand: Demand = ASKED) -> Any:
        """Why a demand may not leave."""
        story = self.of(desk.metering.admit(desk.exchange(), demand))
        return self.failureResultOf(story, kind).value

    def test_by_model(self) -> None:
        """Before anything is set aside."""
        desk = self.desk(Rules(models=Models(allowed=("o3",))))
        self.refusal(desk, ModelRefused)

    def test_by_budget(self) -> None:
        """For good when it is spent, for now when it is reserved; the place is free."""
        rules = Rules(budgets=Budgets(runs=1), places=Places(concurrent=2))
        desk = self.desk(rules)
        first = self.admitted(desk)
        self.refusal(desk, BudgetReserved)
        first.end(None)
        desk.ledger.store.add(first.claim.entries if first.claim else ())
        self.refusal(desk, RunsExceeded)
        self.assertEqual(
            repr(desk.places), "<PlaceQueue <FairQueue 0 carried, 0 waiting>>"
        )

    def test_by_rate(self) -> None:
        """A request at the door, a message on its socket."""
        desk = self.desk(Rules(rates=Rates(enabled=True, rpm=2)))
        exchange = desk.exchange(transport="websocket")
        self.assertIsNone(desk.metering.limit(exchange))
        self.successResultOf(self.of(desk.metering.admit(exchange, ASKED)))
        failed = self.of(desk.metering.admit(exchange, ASKED))
        self.failureResultOf(failed, RateLimited)
        self.assertIsInstance(desk.metering.limit(exchange), RateLimited)
        self.assertEqual(desk.refusals, ["rate_limited"])

    def test_a_ledger_that_is_away(self) -> None:
        """Closed or open, as it is set; a bug of ours lets nothing pass."""
        desk = self.desk(capped(runs=1))
        desk.ledger.away = True
        self.refusal(desk, LedgerAway)
        desk = self.desk(capped(runs=1), open_without_ledger=True)
        desk.ledger.away = True
        self.assertIsNone(self.admitted(desk).claim)
        desk.ledger.broken = ValueError()
        self.refusal(desk, ValueError)


class LaterTests(MeteringCase):
    def test_the_ledger_answers_later(self) -> None:
        """It lets pass, or refuses, or fails."""
        desk = self.desk(capped(runs=1))
        desk.ledger.slow = True
        first = self.of(desk.metering.admit(desk.exchange(), ASKED))
        second = self.of(desk.metering.admit(desk.exchange(), ASKED))
        self.assertNoResult(first)
        desk.ledger.answer()
        self.successResultOf(first)
        self.failureResultOf(second, BudgetReserved)
        third = self.of(desk.metering.admit(desk.exchange(), ASKED))
        desk.ledger.away = True
        desk.ledger.answer()
        self.failureResultOf(third, LedgerAway)

    def test_an_agent_that_leaves_meanwhile(self) -> None:
        """What the ledger sets aside for it is given back."""
        for away in (False, True):
            desk = self.desk(capped(runs=1))
            desk.ledger.slow = True
            story = self.of(desk.metering.admit(desk.exchange(), ASKED))
            story.cancel()
            self.failureResultOf(story, CancelledError)
            desk.ledger.away = away
            desk.ledger.answer()
            desk.ledger.answer()
            self.assertEqual(desk.ledger.standing("runs").reserved, 0)

    def test_an_agent_that_leaves_while_its_request_is_edited(self) -> None:
        """The same."""
        rules = Rules(budgets=Budgets(tokens=10**9), steering=Steering(enabled=True))
        desk = self.desk(rules)
        desk.ledger.slow = True
        story = self.of(desk.metering.enter(desk.exchange(), ask(), BODY))
        desk.ledger.answer()
        self.assertNoResult(story)
        story.cancel()
        self.failureResultOf(story, CancelledError)
        desk.ledger.answer()
        desk.ledger.answer()
        self.assertEqual(desk.ledger.standing("tokens").reserved, 0)

    def test_steering_looks_at_the_ledger(self) -> None:
        """And does without it."""
        rules = Rules(budgets=Budgets(tokens=10**6), steering=Steering(enabled=True))
        desk = self.desk(rules)
        story = desk.metering.enter(desk.exchange(), ask(), BODY)
        entered = self.successResultOf(self.of(story))
        entered.passage.end(None)
        desk.metering._open = True
        desk.ledger.away = True
        story = desk.metering.enter(desk.exchange(), ask(), BODY)
        self.assertIsNone(self.successResultOf(self.of(story)).passage.claim)
        message = b'{"type":"response.create","model":"gpt-4o","input":"x"}'
        plain = self.desk(capped(tokens=10**6))
        passage = self.admitted(plain)
        edited = self.of(plain.metering.edited_message(passage, message))
        self.assertIs(self.successResultOf(edited), message)
        desk.ledger.away = False
        edited = self.of(desk.metering.edited_message(self.admitted(desk), message))
        self.assertEqual(self.successResultOf(edited), message)

    def test_a_refusal_on_a_socket_is_an_event(self) -> None:
        """That its client understands."""
        desk = self.desk()
        event = desk.metering.refusal_event(desk.exchange(), TokensExceeded())
        self.assertIn(b'"type":"error"', event)
