"""The Exchange: one request through the proxy, from the question to its end.

An agent asked, we may have refused, an upstream answered, data flowed, it ended or failed.
This is plain Python: the Twisted code on both sides reports to it and obeys it. Phases only
go forward::

    ASKED ──▶ FORWARDED ──▶ ANSWERING ──▶ CLOSED
      └────────────┴─────────────┴──────────▲

``close`` is idempotent and the first reason wins, because one disconnect arrives by several
paths. A *guard* that raises refuses (policy fails closed); an *observer* that raises is
reported once and dropped for this exchange (telemetry fails open). Nothing here is done per
chunk: the wire adds to ``bytes_up`` and ``bytes_down`` itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol, get_args

from apiproxy.core.errors import InternalError, ProxyError
from apiproxy.core.grant import Grant
from apiproxy.core.metered import Metered, Transport
from apiproxy.core.values import Answer, Ask


class Phase(IntEnum):
    """How far an exchange has come; never back."""

    ASKED = 1
    FORWARDED = 2
    ANSWERING = 3
    CLOSED = 4


# Members of an enumeration are slow to look up, and these are, at every step.
ASKED, FORWARDED, ANSWERING, CLOSED = Phase


class Guard(Protocol):
    """Decides whether an exchange may leave."""

    def check(self, exchange: "Exchange", ask: Ask) -> ProxyError | None:
        """The refusal, or None to let it pass."""


class Observer(Protocol):
    """Is told once in each phase it wants; looks at the exchange, changes nothing."""

    def wants(self, phase: Phase, transport: Transport) -> bool:
        """Whether it wants to be told of this phase of such exchanges; always the same."""

    def observe(self, exchange: "Exchange") -> None:
        """Called when the exchange has entered ``exchange.phase``."""


Told = Mapping[Phase, tuple["Observer", ...]]
"""Who is told when."""


class Observers:
    """All observers, sorted once, so that nobody is told what it does not want.

    Attributes:
        of: who is told when, by transport.
        patient: whom the end of an exchange can be told later, by ``Exchange.tell_patient``.
    """

    __slots__ = ("_all", "_patient", "of", "patient")

    def __init__(self, *observers: Observer, patient: Sequence[Observer] = ()) -> None:
        """Sort them.

        Args:
            observers: told of all their phases at once.
            patient: told of ends later, and of other phases at once.
        """
        self._all = observers
        self._patient = patient
        both = (*observers, *patient)
        self.of: dict[Transport, Told] = {
            transport: {
                phase: _interested(
                    observers if phase is CLOSED else both, phase, transport
                )
                for phase in Phase
            }
            for transport in get_args(Transport)
        }
        self.patient: dict[Transport, tuple[Observer, ...]] = {
            transport: _interested(patient, CLOSED, transport)
            for transport in get_args(Transport)
        }

    def without(self, observer: Observer) -> "Observers":
        """The others."""
        return Observers(
            *(each for each in self._all if each is not observer),
            patient=[each for each in self._patient if each is not observer],
        )


def _interested(
    observers: Iterable[Observer], phase: Phase, transport: Transport
) -> tuple[Observer, ...]:
    return tuple(each for each in observers if each.wants(phase, transport))


NOBODY = Observers()

Complain = Callable[[str, BaseException], None]
"""Takes one sentence and the exception of a guard or observer that broke."""


class Exchange:
    """One request through the proxy.

    Attributes:
        id: the request id, also sent upstream.
        provider: the listener's name.
        transport: ``http`` or ``websocket``.
        method: of the agent's request.
        path: of the agent's request, without the query.
        caller: who asked; empty as long as that is not known.
        run: whose budget it is on; likewise.
        model: that was asked for; likewise.
        phase: how far it has come.
        status: what the agent got; 0 as long as it got nothing.
        error: why it ended, None for an orderly end.
        started: clock seconds at which the request head was complete.
        forwarded: clock seconds at which a line to upstream was ours; None before.
        answered: clock seconds of the first byte of the answer; None before.
        ended: clock seconds of the end; None before.
        queued_seconds: time spent waiting for a place.
        dial_seconds: time the tunnel took; 0 on a warm line.
        reused: whether the upstream line had carried an exchange before.
        bytes_up: bytes of request body, or of WebSocket frames, sent upstream.
        bytes_down: bytes of answer body, or of WebSocket frames, sent to the agent.
        metered: what its response has used, over HTTP, once that is known; None for nothing.
        close_code: WebSocket close code that ended it (RFC 6455, section 7.4); None else.
        grant: what the caller may do; None where callers are not told apart.
    """

    __slots__ = (
        "_complain",
        "_observers",
        "_seconds",
        "answered",
        "bytes_down",
        "bytes_up",
        "caller",
        "close_code",
        "dial_seconds",
        "ended",
        "error",
        "forwarded",
        "grant",
        "id",
        "metered",
        "method",
        "model",
        "path",
        "phase",
        "provider",
        "queued_seconds",
        "reused",
        "run",
        "started",
        "status",
        "transport",
    )

    def __init__(
        self,
        id: str,
        provider: str,
        method: str,
        path: str,
        *,
        seconds: Callable[[], float],
        observers: Observers = NOBODY,
        complain: Complain = lambda sentence, error: None,
        transport: Transport = "http",
        grant: Grant | None = None,
    ) -> None:
        self.id = id
        self.provider = provider
        self.method = method
        self.path = path
        self.run = ""
        self.transport = transport
        self.status = 0
        self.error: ProxyError | None = None
        self.started = seconds()
        self.forwarded: float | None = None
        self.answered: float | None = None
        self.ended: float | None = None
        self.queued_seconds = 0.0
        self.dial_seconds = 0.0
        self.reused = False
        self.bytes_up = 0
        self.bytes_down = 0
        self.close_code: int | None = None
        self.grant = grant
        self.caller = "" if grant is None else grant.name
        self.model = ""
        self.metered: Metered | None = None
        self._seconds = seconds
        self._observers = observers
        self._complain = complain
        self._enter(ASKED)

    def ask(self, ask: Ask, guards: Sequence[Guard]) -> ProxyError | None:
        """Run the guards in order; the first refusal wins.

        Returns:
            The refusal, which the caller answers with; None if it may leave. A guard that
            raises refuses with ``InternalError``.
        """
        for guard in guards:
            try:
                refusal = guard.check(self, ask)
            except Exception as error:
                self._complain(f"guard {guard!r} broke and therefore refused", error)
                return InternalError()
            if refusal is not None:
                return refusal
        return None

    def forward(self, *, reused: bool, dial_seconds: float = 0.0) -> None:
        """A line to upstream is ours. Called again when a stale line is replaced."""
        self.reused = reused
        self.dial_seconds += dial_seconds
        if self.phase is ASKED:
            self.forwarded = self._seconds()
            self._enter(FORWARDED)

    def answer(self, answer: Answer) -> None:
        """The head of the provider's answer arrived and goes to the agent."""
        if self.phase < ANSWERING:
            self.status = answer.status
            self.answered = self._seconds()
            self._enter(ANSWERING)

    def close(self, error: ProxyError | None = None, status: int = 0) -> bool:
        """End it.

        Args:
            error: why; None for an orderly end. Before an answer its status is what the
                agent gets; after one, the status that the agent has already got stays.
            status: what the agent gets instead of the error's own status.

        Returns:
            False if it had ended before; the first reason stays.
        """
        if self.phase is CLOSED:
            return False
        self.error = error
        if error is not None and self.phase < ANSWERING:
            self.status = status or error.status
        self.ended = self._seconds()
        self._enter(CLOSED)
        return True

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        told = self._observers.of[self.transport][phase]
        if told:
            self._tell(told)

    def tell_patient(self) -> None:
        """Tell of the end those who could wait."""
        self._tell(self._observers.patient[self.transport])

    def _tell(self, observers: tuple[Observer, ...]) -> None:
        for observer in observers:
            try:
                observer.observe(self)
            except Exception as error:
                self._complain(f"observer {observer!r} broke and was dropped", error)
                self._observers = self._observers.without(observer)

    @property
    def ended_ago(self) -> float:
        """Seconds since it ended; 0 as long as it has not."""
        return 0.0 if self.ended is None else self._seconds() - self.ended

    @property
    def age(self) -> float:
        """Seconds since it began, or that it took."""
        return (self._seconds() if self.ended is None else self.ended) - self.started

    def __repr__(self) -> str:
        error = f" {self.error.code}" if self.error else ""
        return (
            f"<Exchange {self.id[:8]} {self.provider} {self.phase.name} {self.age:.1f}s"
            f" {self.bytes_up}↑ {self.bytes_down}↓{error}>"
        )


class Crowd(Protocol):
    """Knows how much is under way; exchanges tell it as they tell any observer."""

    def wants(self, phase: Phase, transport: Transport) -> bool:
        """Whether it wants to be told of this phase of such exchanges."""

    @property
    def live(self) -> int:
        """Exchanges begun and not yet closed."""

    @property
    def agents(self) -> int:
        """Connections of agents, WebSockets included."""

    def agent_came(self) -> None:
        """One connection more."""

    def agent_left(self) -> None:
        """One connection fewer."""

    def observe(self, exchange: Exchange) -> None:
        """Count it in, and out."""


class Lives:
    """What observers have in common that want to be told of beginnings and ends."""

    def wants(self, phase: Phase, transport: Transport) -> bool:
        """Beginnings and ends."""
        return phase in (ASKED, CLOSED)


class Census(Lives):
    """Counts what is under way in one process that is all there is.

    Attributes:
        live: exchanges begun and not yet closed.
        agents: connections of agents, WebSockets included; kept by the wire.
    """

    def __init__(self) -> None:
        self.live = 0
        self.agents = 0

    def agent_came(self) -> None:
        """One connection more."""
        self.agents += 1

    def agent_left(self) -> None:
        """One connection fewer."""
        self.agents -= 1

    def observe(self, exchange: Exchange) -> None:
        """Count it in, and out."""
        self.live += 1 if exchange.phase is ASKED else -1

    def __repr__(self) -> str:
        return f"<Census {self.live} live>"
