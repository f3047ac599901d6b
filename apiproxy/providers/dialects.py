"""How each provider's SDKs expect an error to look.

An SDK picks its exception from the HTTP status, and a person reads ``message``; the kinds in
between follow each provider's own vocabulary so that code which looks at them goes on working.
Our stable code is always in the body as well as in ``x-apiproxy-error``. An error that has a
name and figures of its own, as a budget that is spent, has them in the ``error`` object.
"""

from collections.abc import Mapping

import msgspec
from attrs import frozen

from apiproxy.core.errors import ProxyError
from apiproxy.providers.base import Dialect

_OPENAI = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

_ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

_GOOGLE = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    426: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}


def _kind(kinds: Mapping[int, str], error: ProxyError, agent: str, server: str) -> str:
    """The error's own name, or that of its status.

    ``agent`` and ``server`` are for statuses without a name.
    """
    status = error.status
    return error.kind or kinds.get(status, agent if status < 500 else server)


@frozen
class OpenAIDialect:
    """``{"error": {"message", "type", "param", "code"}}``."""

    def render(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body."""
        kind = _kind(_OPENAI, error, "invalid_request_error", "server_error")
        return msgspec.json.encode(
            {
                "error": {
                    "message": error.message,
                    "type": kind,
                    "param": None,
                    "code": error.code,
                    **error.details,
                }
            }
        )


@frozen
class AnthropicDialect:
    """``{"type": "error", "error": {"type", "message"}, "request_id"}``, and our code.

    A budget that is spent is a ``billing_error`` here, as Anthropic calls an account that has
    run dry. After any other 400 Claude Code asks twice more, each time with a feature less.
    """

    def render(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body."""
        kind = _kind(_ANTHROPIC, error, "invalid_request_error", "api_error")
        if error.spent:
            kind = "billing_error"
        return msgspec.json.encode(
            {
                "type": "error",
                "error": {
                    "type": kind,
                    "message": error.message,
                    "code": error.code,
                    **error.details,
                },
                "request_id": request_id,
            }
        )


@frozen
class GeminiDialect:
    """Google's ``Status`` with an ``ErrorInfo``, whose reason is in capitals.

    ``status`` stays one of Google's own words; the error's name is ``type`` beside it.
    """

    def render(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body."""
        named = {"type": error.kind} if error.kind else {}
        kind = _GOOGLE.get(
            error.status, "INVALID_ARGUMENT" if error.status < 500 else "UNAVAILABLE"
        )
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code.upper(),
            "domain": "apiproxy",
            "metadata": {"request_id": request_id},
        }
        return msgspec.json.encode(
            {
                "error": {
                    "code": error.status,
                    "message": error.message,
                    "status": kind,
                    "details": [info],
                    **named,
                    **error.details,
                }
            }
        )


@frozen
class CopilotDialect:
    """``{"error": {"message", "type", "code"}}``."""

    def render(self, error: ProxyError, request_id: str) -> bytes:
        """The JSON body."""
        kind = _kind(_OPENAI, error, "invalid_request_error", "server_error")
        return msgspec.json.encode(
            {
                "error": {
                    "message": error.message,
                    "type": kind,
                    "code": error.code,
                    **error.details,
                }
            }
        )


DIALECTS: Mapping[str, Dialect] = {
    "openai": OpenAIDialect(),
    "anthropic": AnthropicDialect(),
    "gemini": GeminiDialect(),
    "copilot": CopilotDialect(),
}
"""By the name used in configuration."""
