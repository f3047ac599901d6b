"""The one error tree.

::

    ProxyError
    ├── AgentFault                    the agent asked for something it cannot have
    │   ├── MalformedRequest          400  malformed_request
    │   ├── BadTarget                 400  bad_target
    │   ├── MethodRefused             405  method_refused
    │   ├── HeadTooLarge              431  head_too_large
    │   ├── BodyTooLarge              413  body_too_large
    │   ├── AgentTooSlow              408  request_timeout
    │   ├── AgentGone                 499  agent_gone
    │   └── WebSocketUnavailable      426  websocket_unavailable
    ├── AccessRefused                 this is not for whoever asks
    │   ├── HostRefused               403  host_refused
    │   ├── OriginRefused             403  origin_refused
    │   ├── CallerUnknown             401  caller_unknown
    │   ├── CallerExpired             401  caller_expired
    │   ├── CallerRefused             403  caller_refused
    │   ├── EndpointRefused           403  endpoint_refused
    │   └── ToolRefused               403  tool_refused
    ├── OurFault                      we cannot serve this now, or at all
    │   ├── NotConfigured             403  provider_not_configured
    │   ├── CredentialAwaited         503  credential_awaited
    │   ├── Overloaded                503  too_many_exchanges
    │   ├── ShuttingDown              503  shutting_down
    │   ├── Stopped                   400  stopped_by_operator
    │   └── InternalError             500  internal_error
    ├── PolicyRefusal                 a rule or a budget that was set here says no
    │   ├── TokensExceeded            400  effective_tokens_limit_exceeded
    │   ├── RunsExceeded              400  max_runs_exceeded
    │   ├── MissesExceeded            400  max_cache_misses_exceeded
    │   ├── DenialsExceeded           400  permission_denied_limit_exceeded
    │   ├── CreditsExceeded           400  ai_credits_limit_exceeded
    │   ├── MultiplierExceeded        400  model_multiplier_cap_exceeded
    │   ├── MultiplierUnknown         400  model_multiplier_cap_unverifiable
    │   ├── ModelRetired              400  retired_model
    │   ├── ModelRefused              400  model_policy_violation
    │   ├── PriceUnknown              400  unknown_model_ai_credits
    │   ├── BodyUnreadable            400  body_unreadable
    │   ├── Unmetered                 400  unmetered_endpoint
    │   ├── RateLimited               429  rate_limited
    │   ├── BudgetReserved            429  budget_reserved
    │   ├── QueueTimeout              503  queue_timeout
    │   └── LedgerAway                503  ledger_unavailable
    ├── EgressFault                   what the egress proxy (Squid) did
    │   ├── EgressDenied              403  egress_denied
    │   ├── EgressAuthRequired        502  egress_auth_required
    │   ├── EgressBadGateway          502  egress_bad_gateway
    │   ├── EgressHostUnreachable     503  egress_host_unreachable
    │   ├── EgressHostTimeout         504  egress_host_timeout
    │   ├── EgressUnreachable         502  egress_unreachable
    │   ├── EgressSilent              504  egress_timeout
    │   └── EgressProtocolError       502  egress_protocol_error
    └── UpstreamFault                 what the provider did
        ├── UpstreamUnreachable       502  upstream_unreachable
        ├── UpstreamTlsFailed         502  upstream_tls_failed
        ├── UpstreamReset             502  upstream_reset
        ├── UpstreamMalformed         502  upstream_malformed
        └── UpstreamSilent            504  upstream_timeout

Each class answers four questions in class attributes: which status the agent gets, which
stable public code, whose fault it is, and whether the agent may try again. Failures of
other libraries become one of these once, at the border (``wire.failures``); anything else
that escapes is a bug of ours and becomes an ``InternalError``.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

Fault = Literal["agent", "us", "egress", "upstream"]


class ProxyError(Exception):
    """Base of everything we raise.

    Attributes:
        status: HTTP status the agent gets.
        code: stable and public; the value of ``x-apiproxy-error``.
        fault: whose doing it is.
        retriable: whether the agent may send the same request again.
        kind: the ``type`` of the error in the body; empty for what the provider's own
            dialect calls an error with this status.
        spent: whether a budget is used up, which dialects may have a name of their own for.
        message: one sentence for the person who reads the agent's output; it names the
            setting to look at where there is one, and never contains a secret.
        details: figures that stand beside the message in the body; they are public.
        fields: header lines that belong to the answer.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    fault: ClassVar[Fault] = "us"
    retriable: ClassVar[bool] = False
    kind: ClassVar[str] = ""
    spent: ClassVar[bool] = False
    default: ClassVar[str] = "Something went wrong inside apiproxy."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, object] | None = None,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.message = message or self.default
        self.details: Mapping[str, object] = details or {}
        self.fields = fields
        super().__init__(self.message)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.code}: {self.message}>"


class AgentFault(ProxyError):
    """The agent asked for something it cannot have."""

    status, code, fault = 400, "agent_fault", "agent"


class MalformedRequest(AgentFault):
    """The request is not HTTP as RFC 9112 has it; the connection is closed."""

    status, code = 400, "malformed_request"
    default = "The request is not well-formed HTTP/1.1."


class BadTarget(AgentFault):
    """The request target is not origin-form, or not spelled canonically."""

    status, code = 400, "bad_target"
    default = "The request target must be a path that begins with one '/'."


class MethodRefused(AgentFault):
    """CONNECT would choose the host, TRACE would echo the credential; neither is carried."""

    status, code = 405, "method_refused"
    default = "This method is not carried: it could reveal the credential."


class HeadTooLarge(AgentFault):
    """The request head has too many bytes or fields (RFC 6585, section 5)."""

    status, code = 431, "head_too_large"
    default = "The request head is too large; APIPROXY_MAX_HEAD_BYTES sets the limit."


class BodyTooLarge(AgentFault):
    """The request body is over the limit."""

    status, code = 413, "body_too_large"
    default = "The request body is too large; APIPROXY_MAX_BODY_BYTES sets the limit."


class AgentTooSlow(AgentFault):
    """The agent stopped sending in the middle of a request."""

    status, code, retriable = 408, "request_timeout", True
    default = "The request did not arrive in time; see APIPROXY_BODY_SECONDS."


class AgentGone(AgentFault):
    """The agent left before its answer was complete. Nobody reads this status; logs do."""

    status, code = 499, "agent_gone"
    default = "The agent closed the connection."


class WebSocketUnavailable(AgentFault):
    """We will not carry this WebSocket; 426 sends Codex to HTTP at once."""

    status, code = 426, "websocket_unavailable"
    default = "This WebSocket cannot be carried here; use HTTP instead."


class AccessRefused(ProxyError):
    """This is not for whoever asks."""

    status, code, fault = 403, "access_refused", "agent"


class HostRefused(AccessRefused):
    """The request names a host that we do not go by: a web page may have sent it here."""

    status, code = 403, "host_refused"
    default = "The Host of the request is not ours; see APIPROXY_ALLOWED_HOSTS."


class OriginRefused(AccessRefused):
    """A browser sent this for a page that is not on the list."""

    status, code = 403, "origin_refused"
    default = "Requests of web pages are refused; see APIPROXY_ALLOWED_ORIGINS."


class CallerUnknown(AccessRefused):
    """There is a list of callers, and the request has no token of any of them."""

    status, code = 401, "caller_unknown"
    default = (
        "The key is not the token of a caller here;"
        " see APIPROXY_CALLERS_FILE and apiproxy token."
    )


class CallerExpired(AccessRefused):
    """The token was good once."""

    status, code = 401, "caller_expired"
    default = "The token of this caller has expired."


class CallerRefused(AccessRefused):
    """The caller is known, and this is not for it."""

    status, code = 403, "caller_refused"
    default = "This caller may not use this; see APIPROXY_CALLERS_FILE."


class EndpointRefused(AccessRefused):
    """The answer of this endpoint would be a credential."""

    status, code = 403, "endpoint_refused"
    default = (
        "This endpoint makes or shows credentials; APIPROXY_OPEN_ENDPOINTS opens it."
    )


class ToolRefused(AccessRefused):
    """The request asks the provider to go somewhere, or to run something, that is denied."""

    status, code = 403, "tool_refused"
    default = "This hosted tool is denied; see APIPROXY_TOOLS."


class OurFault(ProxyError):
    """We cannot serve this now, or at all."""


class NotConfigured(OurFault):
    """No credential is configured for this provider."""

    status, code = 403, "provider_not_configured"
    default = "No credential is configured for this provider."


class CredentialAwaited(OurFault):
    """The program that gives the credential has not given one, or the last one has ended."""

    status, code, retriable = 503, "credential_awaited", True
    default = "The credential is being fetched; the log says how that goes."


class Overloaded(OurFault):
    """More exchanges are under way than we take at once."""

    status, code, retriable = 503, "too_many_exchanges", True
    default = "Too many requests are under way; see APIPROXY_MAX_EXCHANGES."


class ShuttingDown(OurFault):
    """We are draining and take nothing new."""

    status, code, retriable = 503, "shutting_down", True
    default = "apiproxy is shutting down."


class Stopped(OurFault):
    """An operator has ended it; 400, after which nothing is sent again."""

    status, code = 400, "stopped_by_operator"
    default = "An operator of apiproxy has stopped this request."


class InternalError(OurFault):
    """A bug of ours, contained to this exchange; the log has the traceback."""


class PolicyRefusal(ProxyError):
    """A rule or a budget that was set here says no.

    Where waiting cannot help the status is 400, the only one after which all known clients
    send nothing more and show the message; at 403 and 429 some of them try again. The names
    are those of the older sidecar, so that what reads them goes on working.
    """

    status, code = 400, "policy_refusal"


class TokensExceeded(PolicyRefusal):
    """The budget of effective tokens is spent."""

    code = kind = "effective_tokens_limit_exceeded"
    spent = True
    default = "Maximum effective tokens exceeded; see APIPROXY_MAX_EFFECTIVE_TOKENS."


class RunsExceeded(PolicyRefusal):
    """As many requests were answered as there may be.

    The older sidecar says 429, and there are clients that try again at every 429.
    """

    code = kind = "max_runs_exceeded"
    spent = True
    default = "Maximum number of runs exceeded; see APIPROXY_MAX_RUNS."


class MissesExceeded(PolicyRefusal):
    """Too many answers in a row read nothing from the provider's cache."""

    code = kind = "max_cache_misses_exceeded"
    spent = True
    default = "Maximum cache misses exceeded; see APIPROXY_MAX_CACHE_MISSES."


class DenialsExceeded(PolicyRefusal):
    """The provider has answered 401 or 403 too often."""

    code = kind = "permission_denied_limit_exceeded"
    spent = True
    default = (
        "Maximum permission denied answers exceeded;"
        " see APIPROXY_MAX_PERMISSION_DENIED."
    )


class CreditsExceeded(PolicyRefusal):
    """The budget of money is spent."""

    code = kind = "ai_credits_limit_exceeded"
    spent = True
    default = "Maximum AI credits exceeded; see APIPROXY_MAX_AI_CREDITS."


class MultiplierExceeded(PolicyRefusal):
    """The model counts more than a model may."""

    code = kind = "model_multiplier_cap_exceeded"
    default = "This model's multiplier is too high; see APIPROXY_MAX_MODEL_MULTIPLIER."


class MultiplierUnknown(PolicyRefusal):
    """The provider chooses the model, so nobody knows how much it counts."""

    code = kind = "model_multiplier_cap_unverifiable"
    default = (
        "The model is chosen by the provider, so its multiplier cannot be verified;"
        " name a model, or see APIPROXY_MAX_MODEL_MULTIPLIER."
    )


class ModelRetired(PolicyRefusal):
    """The provider has taken the model away."""

    code = kind = "retired_model"
    default = "This model is retired; name another one."


class ModelRefused(PolicyRefusal):
    """The model is not among those that may be used here."""

    code = kind = "model_policy_violation"
    default = (
        "This model is not allowed here;"
        " see APIPROXY_ALLOWED_MODELS and APIPROXY_DISALLOWED_MODELS."
    )


class PriceUnknown(PolicyRefusal):
    """There is a budget of money, and nobody knows what this model costs."""

    code = kind = "unknown_model_ai_credits"
    default = (
        "The price of this model is not known; put it into APIPROXY_PRICES_FILE,"
        " or see APIPROXY_UNKNOWN_MODELS."
    )


class BodyUnreadable(PolicyRefusal):
    """A rule about models is set, and the model cannot be read from the request."""

    code = "body_unreadable"
    default = (
        "The model cannot be read from this request, and there is a rule about models."
    )


class Unmetered(PolicyRefusal):
    """It might make a model work, and there is a budget that could not count it."""

    code = "unmetered_endpoint"
    default = (
        "What this would cost cannot be counted, and there is a budget or a rule about"
        " models; APIPROXY_UNMETERED=allow opens all such endpoints."
    )


class RateLimited(PolicyRefusal):
    """Too many requests, or bytes, in a minute or an hour."""

    status, code, retriable = 429, "rate_limited", True
    kind = "rate_limit_error"
    default = (
        "Too many requests; see APIPROXY_RATE_LIMIT_RPM and APIPROXY_RATE_LIMIT_RPH."
    )


class BudgetReserved(PolicyRefusal):
    """What is left of a budget is set aside by requests under way."""

    status, code, retriable = 429, "budget_reserved", True
    default = "The rest of the budget is set aside by requests under way; try again."


class QueueTimeout(PolicyRefusal):
    """No place became free in time."""

    status, code, retriable = 503, "queue_timeout", True
    default = (
        "No place became free in time;"
        " see APIPROXY_MAX_CONCURRENT and APIPROXY_QUEUE_SECONDS."
    )


class LedgerAway(PolicyRefusal):
    """The ledger cannot be reached, so nobody knows what is left of a budget."""

    status, code, retriable = 503, "ledger_unavailable", True
    default = "The ledger of budgets cannot be reached; nothing passes until it can."


class EgressFault(ProxyError):
    """The egress proxy did not give us a tunnel."""

    status, code, fault = 502, "egress_fault", "egress"


class EgressDenied(EgressFault):
    """The egress proxy answered CONNECT with 403: the host is not on its allow-list."""

    status, code = 403, "egress_denied"
    default = "The egress proxy does not allow this host; add it to Squid's allow-list."


class EgressAuthRequired(EgressFault):
    """The egress proxy answered 407: it wants other credentials than ours."""

    status, code = 502, "egress_auth_required"
    default = (
        "The egress proxy refused our credentials;"
        " put user and password into HTTPS_PROXY (http://user:password@host:port)."
    )


class EgressBadGateway(EgressFault):
    """The egress proxy answered CONNECT with 502, or a status that has no meaning here."""

    status, code, retriable = 502, "egress_bad_gateway", True
    default = "The egress proxy could not open a tunnel; see Squid's log."


class EgressHostUnreachable(EgressFault):
    """The egress proxy answered 503: no such name, or nobody answers there."""

    status, code, retriable = 503, "egress_host_unreachable", True
    default = (
        "The egress proxy cannot resolve or reach the provider's host;"
        " check the provider's *_API_TARGET and Squid's DNS."
    )


class EgressHostTimeout(EgressFault):
    """The egress proxy answered 504: the provider's host did not answer it in time."""

    status, code, retriable = 504, "egress_host_timeout", True
    default = (
        "The provider's host did not answer the egress proxy in time;"
        " see Squid's connect_timeout."
    )


class EgressUnreachable(EgressFault):
    """Nobody listens at the address of the egress proxy, or it hung up on CONNECT."""

    status, code, retriable = 502, "egress_unreachable", True
    default = (
        "The egress proxy cannot be reached; check HTTPS_PROXY and that Squid runs."
    )


class EgressSilent(EgressFault):
    """The egress proxy took the connection and never answered CONNECT."""

    status, code, retriable = 504, "egress_timeout", True
    default = (
        "The egress proxy did not answer in time;"
        " see APIPROXY_DIAL_SECONDS, APIPROXY_CONNECT_SECONDS and HTTPS_PROXY."
    )


class EgressProtocolError(EgressFault):
    """What answered CONNECT does not speak HTTP, or spoke out of turn."""

    status, code = 502, "egress_protocol_error"
    default = "What answers at HTTPS_PROXY is not an HTTP proxy."


class UpstreamFault(ProxyError):
    """The provider, or the way to it, failed."""

    status, code, fault, retriable = 502, "upstream_fault", "upstream", True


class UpstreamUnreachable(UpstreamFault):
    """The provider's host cannot be resolved or dialled (without an egress proxy)."""

    status, code = 502, "upstream_unreachable"
    default = (
        "The provider's host cannot be reached;"
        " check its *_API_TARGET, or set HTTPS_PROXY if this network needs a proxy."
    )


class UpstreamTlsFailed(UpstreamFault):
    """The TLS handshake failed, or the certificate is not the provider's."""

    status, code, retriable = 502, "upstream_tls_failed", False
    default = (
        "The provider's certificate was not accepted;"
        " a private authority goes into APIPROXY_CA_FILE."
    )


class UpstreamReset(UpstreamFault):
    """The provider closed the connection before its answer was complete."""

    status, code = 502, "upstream_reset"
    default = "The provider closed the connection before it answered."


class UpstreamMalformed(UpstreamFault):
    """The provider's answer is not HTTP as RFC 9112 has it."""

    status, code = 502, "upstream_malformed"
    default = "The provider's answer is not well-formed HTTP/1.1."


class UpstreamSilent(UpstreamFault):
    """The provider sent nothing for too long."""

    status, code = 504, "upstream_timeout"
    default = (
        "The provider sent nothing for too long;"
        " see APIPROXY_FIRST_BYTE_SECONDS and APIPROXY_SILENCE_SECONDS."
    )
