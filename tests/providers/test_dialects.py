"""Errors look as each provider's SDK expects, and SDKs raise what they should."""

import json
from typing import Any

import anthropic
import httpx2
import openai
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core import errors
from apiproxy.core.errors import ProxyError
from apiproxy.providers.dialects import DIALECTS


def every_error() -> list[ProxyError]:
    """One of each class in the tree."""
    found: list[ProxyError] = []
    todo: list[type[ProxyError]] = [errors.ProxyError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        found.append(kind())
    return found


def rendered(dialect: str, error: ProxyError) -> Any:
    return json.loads(DIALECTS[dialect].render(error, "id-1"))


class DialectTests(SynchronousTestCase):
    def test_openai_shape(self) -> None:
        """OpenAI: everything below "error", param null."""
        for error, kind in [
            (errors.NotConfigured(), "permission_error"),
            (errors.BadTarget(), "invalid_request_error"),
            (errors.WebSocketUnavailable(), "invalid_request_error"),
            (errors.UpstreamSilent(), "server_error"),
        ]:
            self.assertEqual(
                rendered("openai", error),
                {
                    "error": {
                        "message": error.message,
                        "type": kind,
                        "param": None,
                        "code": error.code,
                    }
                },
            )

    def test_anthropic_shape(self) -> None:
        """Anthropic: a typed object, with the request id."""
        for error, kind in [
            (errors.NotConfigured(), "permission_error"),
            (errors.BodyTooLarge(), "request_too_large"),
            (errors.Overloaded(), "overloaded_error"),
            (errors.EgressHostTimeout(), "timeout_error"),
            (errors.MalformedRequest(), "invalid_request_error"),
            (errors.UpstreamReset(), "api_error"),
        ]:
            self.assertEqual(
                rendered("anthropic", error),
                {
                    "type": "error",
                    "error": {
                        "type": kind,
                        "message": error.message,
                        "code": error.code,
                    },
                    "request_id": "id-1",
                },
            )

    def test_gemini_shape(self) -> None:
        """Gemini: Google's status, with the reason in the details."""
        for error, status in [
            (errors.NotConfigured(), "PERMISSION_DENIED"),
            (errors.BadTarget(), "INVALID_ARGUMENT"),
            (errors.InternalError(), "INTERNAL"),
            (errors.UpstreamReset(), "UNAVAILABLE"),
            (errors.UpstreamSilent(), "DEADLINE_EXCEEDED"),
        ]:
            body = rendered("gemini", error)["error"]
            self.assertEqual(body["code"], error.status)
            self.assertEqual(body["status"], status)
            self.assertEqual(body["message"], error.message)
            (info,) = body["details"]
            self.assertEqual(
                info,
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": error.code.upper(),
                    "domain": "apiproxy",
                    "metadata": {"request_id": "id-1"},
                },
            )

    def test_copilot_shape(self) -> None:
        """Copilot: like OpenAI, without param."""
        error = errors.NotConfigured()
        self.assertEqual(
            rendered("copilot", error),
            {
                "error": {
                    "message": error.message,
                    "type": "permission_error",
                    "code": "provider_not_configured",
                }
            },
        )

    def test_an_error_with_a_name_of_its_own(self) -> None:
        """The name is the type, and figures stand beside the message, in every dialect.

        But Claude Code stops at once only at Anthropic's own name for it.
        """
        error = errors.TokensExceeded(details={"max_effective_tokens": 1000})
        for name in DIALECTS:
            found = rendered(name, error)["error"]
            own = "billing_error" if name == "anthropic" else error.kind
            self.assertEqual(found["type"], own, name)
            self.assertEqual(found["max_effective_tokens"], 1000)
            self.assertEqual(found["message"], error.message)
        self.assertEqual(
            rendered("gemini", error)["error"]["status"], "INVALID_ARGUMENT"
        )
        self.assertEqual(
            rendered("openai", errors.RateLimited())["error"]["type"],
            "rate_limit_error",
        )

    def test_figures_need_no_name(self) -> None:
        """Then the type is that of the status."""
        error = errors.BudgetReserved(details={"retry_after": 5})
        for name, kind in (("openai", "rate_limit_error"), ("gemini", None)):
            found = rendered(name, error)["error"]
            self.assertEqual((found["retry_after"], found.get("type")), (5, kind))

    def test_every_error_can_be_rendered_by_everyone(self) -> None:
        """Whatever happens, the body is JSON with the message in it."""
        for name in DIALECTS:
            for error in every_error():
                self.assertEqual(
                    rendered(name, error)["error"]["message"], error.message
                )


def answering(
    dialect: str, error: ProxyError, asked: list[httpx2.Request] | None = None
) -> httpx2.Client:
    """An HTTP client to which everything is answered with this error.

    Args:
        dialect: in which it is said.
        error: what is answered.
        asked: gets all requests.
    """
    body = DIALECTS[dialect].render(error, "id-1")
    headers = {"content-type": "application/json"}
    if not error.retriable:
        headers["x-should-retry"] = "false"

    def answer(request: httpx2.Request) -> httpx2.Response:
        if asked is not None:
            asked.append(request)
        return httpx2.Response(error.status, content=body, headers=headers)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


class SdkTests(SynchronousTestCase):
    def test_openai_sdk_raises_its_typed_errors(self) -> None:
        """The exception has the SDK's type, our code, and our message."""
        for error, kind in [
            (errors.NotConfigured(), openai.PermissionDeniedError),
            (errors.BadTarget(), openai.BadRequestError),
            (errors.UpstreamReset(), openai.InternalServerError),
        ]:
            with answering("openai", error) as http:
                client = openai.OpenAI(
                    api_key="x", base_url="http://x/v1", max_retries=0, http_client=http
                )
                raised = self.assertRaises(kind, client.models.list)
            self.assertEqual(raised.code, error.code)
            self.assertIn(error.message, str(raised))

    def test_sdks_send_nothing_more_after_a_terminal_refusal(self) -> None:
        """However often they would try again."""
        for kind in errors.PolicyRefusal.__subclasses__():
            if kind.retriable:
                continue
            asked: list[httpx2.Request] = []
            with answering("openai", kind(), asked) as http:
                openai_client = openai.OpenAI(
                    api_key="x", base_url="http://x/v1", max_retries=5, http_client=http
                )
                self.assertRaises(openai.APIStatusError, openai_client.models.list)
            with answering("anthropic", kind(), asked) as http:
                client = anthropic.Anthropic(
                    api_key="x", base_url="http://x", max_retries=5, http_client=http
                )
                self.assertRaises(anthropic.APIStatusError, client.models.list)
            self.assertEqual(len(asked), 2, kind)

    def test_anthropic_sdk_raises_its_typed_errors(self) -> None:
        """The exception has the SDK's type and our message."""
        for error, kind in [
            (errors.NotConfigured(), anthropic.PermissionDeniedError),
            (errors.BadTarget(), anthropic.BadRequestError),
            (errors.UpstreamReset(), anthropic.InternalServerError),
        ]:
            with answering("anthropic", error) as http:
                client = anthropic.Anthropic(
                    api_key="x", base_url="http://x", max_retries=0, http_client=http
                )
                raised = self.assertRaises(kind, client.models.list)
            self.assertIn(error.message, str(raised))
