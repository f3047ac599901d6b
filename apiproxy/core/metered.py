"""One response when it is over: what it used, what that costs, and which exchange it was in.

This is what metering hands to telemetry: the usage log, the log line ``token_usage`` and the
metrics are all made of it. An exchange over HTTP has one; a WebSocket has one for each
response.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from apiproxy.core.usage import Record, Usage

Transport = Literal["http", "websocket"]

NO_USAGE = Usage()

NANODOLLARS_PER_CREDIT = 10_000_000
"""An AI credit is a US cent."""


class Cost(Struct, frozen=True, kw_only=True):
    """What policy has computed for one response; None where it computes nothing.

    Attributes:
        effective_tokens: weighted tokens of this response.
        effective_tokens_total: of the run so far, this response included.
        multiplier: of the model.
        nanodollars: what it costs, in billionths of a US dollar (the ledger's ``money``).
        nanodollars_total: of the run so far, this response included.
        source: where the price comes from.
        tier: which of the model's prices was taken.
        accounting: by which rule.
        fallback: whether it is the price of another model, or of none in particular.
        selector: the dynamic model name that was resolved.
    """

    effective_tokens: float | None = None
    effective_tokens_total: float | None = None
    multiplier: float | None = None
    nanodollars: int | None = None
    nanodollars_total: int | None = None
    source: str | None = None
    tier: str | None = None
    accounting: str | None = None
    fallback: bool | None = None
    selector: str | None = None


NO_COST = Cost()


class Metered(Struct, frozen=True, kw_only=True):
    """A response that is over.

    Attributes:
        record: what was read of it.
        request_id: of the exchange.
        provider: the listener's name.
        transport: of the exchange.
        path: of the agent's request, without the query.
        status: what the agent got.
        streaming: whether it came in events or messages.
        started: when it was asked for; POSIX seconds.
        seconds: that it took.
        bytes: of the answer as they came: of this response alone, also on a WebSocket.
        asked: the model that the agent named; empty for none.
        caller: who asked; empty if callers are not told apart.
        run: whose budget it is on.
        initiator: value of ``x-initiator`` as it went upstream; empty for none.
        billing: what the provider tells of its own billing; None for nothing.
        cost: what policy has computed.
    """

    record: Record
    request_id: str
    provider: str
    transport: Transport = "http"
    path: str = ""
    status: int = 0
    streaming: bool = False
    started: float = 0.0
    seconds: float = 0.0
    bytes: int = 0
    asked: str = ""
    caller: str = ""
    run: str = ""
    initiator: str = ""
    billing: Mapping[str, object] | None = None
    cost: Cost = NO_COST

    @property
    def usage(self) -> Usage:
        """What it used; nothing, if nobody told."""
        return self.record.usage or NO_USAGE

    @property
    def model(self) -> str:
        """The model that answered, else the one that was asked for, else the provider."""
        return self.record.model or self.asked or self.provider

    @property
    def gap(self) -> str:
        """Why it was not metered, a word; empty if it was."""
        return self.record.gap or ("no_usage" if self.record.usage is None else "")
