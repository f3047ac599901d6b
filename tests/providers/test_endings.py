"""Tests of ``apiproxy.providers.endings``."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import anthropic
import msgspec
import openai
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import NotConfigured, Overloaded
from apiproxy.core.usage import Record
from apiproxy.providers.endings import (
    live_close,
    socket_refusal,
    stream_ending,
)
from tests.providers.usage.recorded import FOLDER, Listener

ERROR = NotConfigured("The budget is used up.")
CUT = Record(id="resp_1", model="gpt-5.1")


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """The address of somebody who answers everything with one event stream."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def begun(name: str, stop: bytes) -> bytes:
    """A recorded stream up to some event."""
    body = (FOLDER / name).read_bytes()
    return body[: body.index(stop)]


class SdkTests(SynchronousTestCase):
    """The SDKs see what came before, and then raise."""

    def openai(self, url: str) -> openai.OpenAI:
        """The SDK, which does not try again."""
        return openai.OpenAI(base_url=url, api_key="none", max_retries=0)

    def test_a_chat_raises(self) -> None:
        """After the text so far, with our message."""
        body = b"".join(
            event + b"\n\n"
            for event in (FOLDER / "chat_silent.sse").read_bytes().split(b"\n\n")[:3]
        )
        text = []
        with (
            serving(body + stream_ending("chat", ERROR, "r1")) as url,
            self.openai(url) as sdk,
        ):
            chunks = sdk.chat.completions.create(model="m", messages=[], stream=True)
            with self.assertRaises(openai.APIError) as raised:
                for chunk in chunks:
                    text.append(chunk.choices[0].delta.content)
        self.assertEqual(text, ["", "Good day", " to you."])
        self.assertEqual(raised.exception.message, ERROR.message)
        self.assertEqual(raised.exception.code, ERROR.code)

    def test_a_response_raises(self) -> None:
        """After ``response.failed``, also where the SDK gathers events itself."""
        body = begun("responses.sse", b"event: response.output_text.done")
        ending = stream_ending("responses", ERROR, "r1", Record(id="resp_e5"))
        with serving(body + ending) as url, self.openai(url) as sdk:
            events = sdk.responses.create(model="m", input="x", stream=True)
            kinds = []
            with self.assertRaises(openai.APIError) as raised:
                for event in events:
                    kinds.append(event.type)
            self.assertEqual(kinds[-1], "response.failed")
            self.assertEqual(raised.exception.message, ERROR.message)
            with (
                self.assertRaises(openai.APIError),
                sdk.responses.stream(model="m", input="x") as stream,
            ):
                stream.get_final_response()

    def test_a_message_raises(self) -> None:
        """Both ways of streaming."""
        body = begun("messages.sse", b"event: content_block_stop")
        with serving(body + stream_ending("messages", ERROR, "r1")) as url:
            sdk = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
            asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": []}
            with sdk:
                with self.assertRaises(anthropic.APIStatusError) as raised:
                    list(sdk.messages.create(**asked, stream=True))
                self.assertIn(ERROR.message, str(raised.exception))
                with (
                    self.assertRaises(anthropic.APIStatusError),
                    sdk.messages.stream(**asked) as stream,
                ):
                    stream.get_final_message()


class StreamTests(SynchronousTestCase):
    def test_our_readers_see_the_end(self) -> None:
        """Each ending is one, in the words of its dialect."""
        for shape, name, kind in (
            ("chat", "chat_silent.sse", b"text/event-stream"),
            ("responses", "responses.sse", b"text/event-stream"),
            ("messages", "messages.sse", b"text/event-stream"),
            ("gemini", "gemini.sse", b"text/event-stream"),
            ("converse", "", b"application/vnd.amazon.eventstream"),
        ):
            listener = Listener()
            reader = listener.open([(b"content-type", kind)])
            if name:
                body = (FOLDER / name).read_bytes()
                reader.feed(body[: len(body) // 2].rpartition(b"\n\n")[0] + b"\n\n")
            reader.feed(stream_ending(shape, ERROR, "r1"))  # type: ignore[arg-type]
            reader.end()
            self.assertEqual(listener.only().state, "failed", shape)

    def test_gemini_s_error_comes_first_in_its_event(self) -> None:
        """Google's SDK for Python looks for it there."""
        data = stream_ending("gemini", ERROR, "r1")
        self.assertTrue(data.startswith(b'data: {"error":{"code":403,'))
        self.assertTrue(data.endswith(b"}}\r\n\r\n") or data.endswith(b"}\r\n\r\n"))

    def test_codex_is_told_whether_to_try_again(self) -> None:
        """It gives up at this code and at few others."""
        for error, code in (
            (ERROR, b"invalid_prompt"),
            (Overloaded(), b"server_error"),
        ):
            self.assertIn(b'"code":"' + code, stream_ending("responses", error, "r1"))

    def test_a_response_that_is_cut_keeps_its_name(self) -> None:
        """Codex looks for the one that it has seen begin."""
        ending = stream_ending("responses", ERROR, "r1", CUT)
        failed = msgspec.json.decode(ending.split(b"data: ")[1].split(b"\n")[0])
        found = failed["response"]
        self.assertEqual((found["id"], found["model"]), ("resp_1", "gpt-5.1"))
        self.assertEqual(
            (failed["type"], found["status"]), ("response.failed", "failed")
        )

    def test_an_exception_says_whether_to_try_again(self) -> None:
        """By its type, as the AWS SDKs have it."""
        self.assertIn(b"validationException", stream_ending("invoke", ERROR, "r1"))
        self.assertIn(
            b"serviceUnavailable", stream_ending("invoke", Overloaded(), "r1")
        )


class SocketTests(SynchronousTestCase):
    def test_a_refusal_is_an_error_event(self) -> None:
        """With a status as Codex reads it."""
        told = msgspec.json.decode(socket_refusal(ERROR, "r1"))
        self.assertEqual((told["type"], told["status"]), ("error", 403))
        self.assertEqual(
            told["error"],
            {
                "message": ERROR.message,
                "type": "permission_error",
                "param": None,
                "code": ERROR.code,
            },
        )

    def test_live_is_closed_with_a_reason(self) -> None:
        """Which is short, and whole text."""
        code, reason = live_close(NotConfigured("ö" * 200))
        self.assertEqual(code, 1008)
        self.assertLessEqual(len(reason), 123)
        self.assertTrue(reason.decode().startswith("provider_not_configured: ö"))
