"""The way in of a demand: what may pass, and what is set aside for it.

``Metering`` is one for the process. It lets a demand pass, or refuses it::

    rates ─▶ guards ─▶ a place in the queue ─▶ a claim in the ledger ─▶ Passage

Where no rule has to see a request before it leaves, there is nothing to wait for, and a
passage only counts. What each ``Passage`` tells is settled elsewhere (``Accounts``).

The ledger may be on another host, so what is asked of it may be known later; with a ledger at
hand all of it happens at once.
"""

from collections.abc import Callable
from typing import Protocol, cast, get_args

from attrs import frozen
from twisted.internet.defer import Deferred

from apiproxy.core.errors import LedgerAway, ProxyError, Unmetered
from apiproxy.core.exchange import Exchange
from apiproxy.core.inflate import read_codings
from apiproxy.core.memo import Memo
from apiproxy.core.usage import Demand, Record
from apiproxy.core.values import Ask, first, joined
from apiproxy.policy.admission import Admission
from apiproxy.policy.callers import refuse_model
from apiproxy.policy.edits import Editor
from apiproxy.policy.inspection import ToolUse, inspect
from apiproxy.policy.ledger import Claim, Ledger, LedgerUnavailable, Shortage
from apiproxy.policy.rate import RateLimits
from apiproxy.policy.rules import Rules
from apiproxy.policy.steering import Shape as Edited, most_used
from apiproxy.policy.tools import ToolPolicy
from apiproxy.providers.calls import Call, costs_nothing, hides_figures, read_call
from apiproxy.providers.demand import Unreadable, plain_body, read_demand
from apiproxy.providers.endings import socket_refusal
from apiproxy.providers.usage.socket import SocketCopy
from apiproxy.wire.passage import Books, Passage
from apiproxy.wire.places import PlaceQueue
from apiproxy.wire.room import Room

_EDITED = frozenset(get_args(Edited))
"""Dialects of requests that can be edited."""

_SOCKETS = frozenset({"responses", "realtime", "live"})
"""Dialects that are spoken on WebSockets."""


class Accounts(Books, Protocol):
    """Where everything is written down."""

    ledger: Ledger
    capped: bool

    def claim(self, id: str, exchange: Exchange, demand: Demand) -> Claim | None:
        """What a demand sets aside; None if it makes no model work."""

    def drop(self, claim: Claim) -> None:
        """Give a claim back that came too late for whoever made it."""


@frozen
class Entered:
    """What may leave.

    Attributes:
        body: of the request, perhaps edited.
        passage: where its answer is read.
    """

    body: bytes
    passage: Passage


class Metering:
    """Rules, queue and ledger of one process.

    Attributes:
        accounts: where everything is written down, and whether an operator has set a cap,
            which may be at any time.
        cuts: whether a response that crosses a cap is ended in the middle.
        rates: how often each provider may be asked.
        held: room for the bodies of requests that are not on their way yet.
    """

    def __init__(
        self,
        rules: Rules,
        admission: Admission,
        editor: Editor,
        tools: ToolPolicy,
        accounts: Accounts,
        rates: RateLimits,
        places: PlaceQueue,
        *,
        seconds: Callable[[], float],
        new_id: Callable[[], str],
        held: int,
        open_without_ledger: bool = False,
        billed: frozenset[str] = frozenset(),
    ) -> None:
        """Nothing has passed yet.

        Args:
            rules: what may pass.
            admission: decides by them.
            editor: edits what leaves.
            tools: judges what the provider is asked to do by itself.
            accounts: where everything is written down.
            rates: how often each provider may be asked.
            places: how many are carried at once.
            seconds: a clock that does not jump.
            new_id: makes ids of claims.
            held: bytes of bodies that may be held at once.
            open_without_ledger: whether requests pass while the ledger is away.
            billed: listeners whose answers tell of the account that pays.
        """
        self._billed = billed
        self._sees_requests = rules.sees_requests or places.limited or tools.denies
        self._admission = admission
        self._editor = editor
        self._tools = tools
        self.accounts = accounts
        self._places = places
        self._seconds = seconds
        self._new_id = new_id
        self._open = open_without_ledger
        self._calls: Memo[Call | None] = Memo(lambda path: read_call(b"POST", path))
        self._refuses_unmetered = rules.budgets.unmetered == "refuse"
        self._counts = rules.counts
        self._rules = rates.enabled or self._sees_requests or rules.counts
        self.cuts = rules.budgets.cut_off
        self.rates = rates
        self.held = Room(held)

    def rules_over(self, exchange: Exchange) -> bool:
        """Whether any rule, limit or budget concerns an exchange; else it may just go."""
        return self._rules or self._limited(exchange)

    def gates(self, exchange: Exchange) -> bool:
        """Whether a rule has to see a request before any of it leaves."""
        return self._sees_requests or self._limited(exchange)

    def holds(self, exchange: Exchange) -> bool:
        """Whether a rule has to see a message on a socket before it goes on."""
        return self.rates.enabled or self.gates(exchange)

    def _limited(self, exchange: Exchange) -> bool:
        """Whether an operator's cap or the caller's own limits hold for it."""
        grant = exchange.grant
        return self.accounts.capped or (grant is not None and grant.limited)

    def _limits_usage(self, exchange: Exchange) -> bool:
        """Whether an operator, or the list of callers, limits tokens or money for it."""
        grant = exchange.grant
        return self.accounts.capped or (
            grant is not None and grant.limits("tokens", "money")
        )

    # The way in.

    def limit(self, exchange: Exchange, size: int = 0) -> ProxyError | None:
        """Count a request, an upgrade or a message that asks for a response.

        Args:
            exchange: it belongs to.
            size: bytes that are known to come with it.

        Returns:
            The refusal, if it is one too many, which then was told of.
        """
        error = self.rates.admit(exchange.provider, size)
        if error is not None:
            self.refused(exchange, error)
        return error

    def uncounted(self, exchange: Exchange, ask: Ask) -> ProxyError | None:
        """The refusal of what might cost something that nobody could count.

        It was told of. None where no budget and no rule about models is set, and for what
        costs nothing or is counted.
        """
        if not self._must_count(exchange):
            return None
        if ask.upgrade:
            known = self.follows(ask)
        else:
            known = self._tells(ask) or costs_nothing(ask.method, ask.path)
        if known:
            return None
        error = Unmetered()
        self.refused(exchange, error)
        return error

    def _must_count(self, exchange: Exchange) -> bool:
        """Whether nothing may pass that cannot be counted."""
        return self._refuses_unmetered and (self._counts or self._limited(exchange))

    def refused(self, exchange: Exchange, error: ProxyError) -> None:
        """Tell of a refusal that an agent gets."""
        self.accounts.refused(exchange, error)

    def asks(self, ask: Ask) -> bool:
        """Whether a request makes a model work."""
        if ask.method != b"POST":
            return False
        call = self._calls[ask.path]
        return call is not None and call.inference

    def _tells(self, ask: Ask) -> bool:
        """Whether a request makes a model work, and has its answer tell what that cost."""
        query = ask.target.partition(b"?")[2]
        return self.asks(ask) and not hides_figures(ask.path, query, ask.fields)

    def passage(self, exchange: Exchange, ask: Ask) -> Passage | None:
        """Let a request pass that no rule has to see; None if no model is asked."""
        if ask.method != b"POST":
            return None
        call = self._calls[ask.path]
        if call is None or not call.inference:
            return None
        demand = Demand(True, call.model, ask.length or 0, stream=call.stream)
        passage = Passage(self.accounts, exchange, demand, self._seconds, call.shape)
        if exchange.provider in self._billed:
            passage.initiator = _initiator(ask)
        return passage

    def note(self, exchange: Exchange, demand: Demand) -> Passage:
        """A passage that only counts."""
        return Passage(self.accounts, exchange, demand, self._seconds)

    async def enter(self, exchange: Exchange, ask: Ask, body: bytes) -> Entered:
        """Let a request pass, or refuse it.

        Raises:
            ProxyError: why it may not leave.
        """
        query = ask.target.partition(b"?")[2]
        demand = read_demand(ask.method, ask.path, query, body, ask.fields)
        encoding = joined(ask.fields, b"content-encoding")
        refusal = self.refuse_tools(exchange, body, encoding)
        if refusal is not None:
            raise refusal
        call, limited = self._calls[ask.path], self._limits_usage(exchange)
        if call is not None:
            self._editor.check(call.shape, demand, encoding, limited=limited)
        passage = await self.admit(exchange, demand)
        if call is not None:
            passage.shape = call.shape
        if exchange.provider in self._billed:
            passage.initiator = _initiator(ask)
        edits = self._editor.steers or self._editor.asks_usage(limited=limited)
        if edits and not read_codings(encoding):
            body = await self._with_changes(passage, body)
        return Entered(body, passage)

    def refuse_tools(
        self, exchange: Exchange, body: bytes, encoding: bytes = b""
    ) -> ProxyError | None:
        """Why the hosted tools that a body asks for may not be used.

        Args:
            exchange: it belongs to.
            body: of a request, or a message on a socket.
            encoding: of the body.
        """
        if self._tools.quiet or not body:
            return None
        try:
            uses = inspect(plain_body(body, encoding))
        except Unreadable:
            uses = [ToolUse("unreadable")]
        return self._tools.decide(exchange, uses) if uses else None

    async def _with_changes(self, passage: Passage, body: bytes) -> bytes:
        """The same as ``_edited``; nothing stays set aside if that comes to nothing."""
        try:
            return await self._edited(passage, body)
        except BaseException:
            passage.end(None)
            raise

    async def _edited(self, passage: Passage, body: bytes) -> bytes:
        """The body with all changes that rules make."""
        shape = passage.shape
        if shape not in _EDITED or not passage.demand.inference:
            return body
        used = await self._used(passage) if self._editor.steers else 0.0
        edited = self._editor.edit(
            cast(Edited, shape),
            body,
            stream=passage.demand.stream,
            used=used,
            limited=self._limits_usage(passage.exchange),
        )
        passage.carry(lambda left: self._editor.over(edited.dues, left=left))
        return edited.body

    async def _used(self, passage: Passage) -> float:
        """How much of its budget is used, from 0 to 1 and above."""
        if passage.claim is None:
            return 0.0
        try:
            standings = self.accounts.ledger.standings()
            if not isinstance(standings, list):
                standings = await standings
        except LedgerUnavailable:
            return 0.0
        by_key = {(one.account, one.measure): one for one in standings}
        return most_used(passage.claim.entries, by_key)

    async def edited_message(self, passage: Passage, message: bytes) -> bytes:
        """A message on a socket that asks for a response, with all changes."""
        if not self._editor.steers:
            return message
        passage.shape = "responses"
        return await self._with_changes(passage, message)

    async def admit(self, exchange: Exchange, demand: Demand) -> Passage:
        """Let a demand pass, or refuse it.

        Raises:
            ProxyError: why it may not.
        """
        exchange.model = demand.model[:128]
        asks = demand.inference and exchange.transport == "websocket"
        refusal = self.rates.admit(exchange.provider) if asks else None
        refusal = (
            refusal
            or self._admission.check(demand, exchange.provider, exchange.grant)
            or self._refuse_caller(exchange, demand)
        )
        if demand.later and self._must_count(exchange):
            refusal = refusal or Unmetered(_LATER)
        if refusal is not None:
            raise refusal
        passage = self.note(exchange, demand)
        if not demand.inference:
            return passage
        leave = await self._places.enter(exchange)
        try:
            claim = await self._claim(exchange, demand)
        except BaseException:
            leave()
            raise
        passage.hold_to(claim, leave, watched=self.cuts)
        return passage

    def _refuse_caller(self, exchange: Exchange, demand: Demand) -> ProxyError | None:
        """Why this caller may not use the model, under any of the names it was given."""
        if not demand.inference:
            return None
        grant, named = exchange.grant, demand.model
        if demand.unreadable:
            named = ""
        refusal = refuse_model(grant, named)
        if refusal is None and demand.other:
            refusal = refuse_model(grant, demand.other)
        return refusal

    async def _claim(self, exchange: Exchange, demand: Demand) -> Claim | None:
        """Set aside what a demand may cost; None if the ledger is away and that is fine."""
        claim = self.accounts.claim(self._new_id(), exchange, demand)
        assert claim is not None
        try:
            shortage = await self._reserve(claim)
        except LedgerUnavailable as error:
            if not self._open:
                raise LedgerAway from error
            return None
        if shortage is not None:
            raise self._admission.refusal(shortage)
        return claim

    async def _reserve(self, claim: Claim) -> Shortage | None:
        """Ask the ledger; if the agent leaves meanwhile, what it sets aside is given back."""
        ledger = self.accounts.ledger
        later = ledger.reserve(claim)
        if not isinstance(later, Deferred):
            assert later is None or isinstance(later, Shortage)
            return later
        known: Deferred[Shortage | None] = Deferred()
        _ = later.addCallbacks(
            lambda found: _answer(known, found, lambda: self.accounts.drop(claim)),
            lambda failure: None if known.called else known.errback(failure),
        )
        return await known

    # WebSockets.

    def follows(self, ask: Ask) -> bool:
        """Whether a model takes part in the conversation on this socket."""
        call = self._calls[ask.path]
        return call is not None and call.shape in _SOCKETS

    def only_closes(self, ask: Ask) -> bool:
        """Whether the conversation on this socket has no words for an error."""
        call = self._calls[ask.path]
        return call is not None and call.shape == "live"

    def follow(
        self, exchange: Exchange, ask: Ask, done: Callable[[Record], None]
    ) -> SocketCopy:
        """What reads the conversation on a socket."""
        query = ask.target.partition(b"?")[2]
        model = read_demand(ask.method, ask.path, query, None, ask.fields).model
        return SocketCopy(done, model, closely=self.gates(exchange) and self.cuts)

    def refusal_event(self, exchange: Exchange, error: ProxyError) -> bytes:
        """The message that refuses one of the agent's on a socket."""
        return socket_refusal(error, exchange.id)

    def __repr__(self) -> str:
        return f"<Metering {self.accounts!r}>"


def _answer(
    known: "Deferred[Shortage | None]", found: object, undo: Callable[[], object]
) -> None:
    """Hand on what the ledger said, or undo it if nobody wants it any more."""
    if known.called:
        undo()
        return
    assert found is None or isinstance(found, Shortage)
    known.callback(found)


_LATER = (
    "An answer that is made in the background cannot be counted, and there is a budget or a"
    " rule about models; APIPROXY_UNMETERED=allow lets it pass."
)


def _initiator(ask: Ask) -> str:
    """Who asks, as Copilot is told; empty if it is told nothing."""
    return (first(ask.fields, b"x-initiator") or b"").decode("latin-1")
