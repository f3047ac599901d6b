"""Tests of ``apiproxy.providers.demand``."""

import gzip
import tracemalloc
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand
from apiproxy.core.values import Fields
from apiproxy.providers.demand import prompt_bytes, read_demand, read_raws

CHAT = b"/v1/chat/completions"
GEMINI = b"/v1beta/models/gemini-2.5-flash:generateContent"


def ask(
    body: Any,
    path: bytes = CHAT,
    query: bytes = b"",
    fields: Fields | None = None,
    method: bytes = b"POST",
) -> Demand:
    """What a request asks; its body is bytes, or is made JSON."""
    if not isinstance(body, bytes | None):
        body = msgspec.json.encode(body)
    return read_demand(method, path, query, body, fields or [])


class BodyTests(SynchronousTestCase):
    def test_what_a_chat_asks(self) -> None:
        """Model, limit, number of answers, stream, and the size of the prompt."""
        body = {"model": "gpt-5.1", "max_completion_tokens": 50, "n": 3, "stream": True}
        demand = ask(body)
        self.assertEqual(
            demand,
            Demand(
                inference=True,
                model="gpt-5.1",
                input_bytes=len(msgspec.json.encode(body)),
                max_output=50,
                answers=3,
                stream=True,
            ),
        )

    def test_limits_of_all_dialects(self) -> None:
        """Where several are set, the largest is what may come."""
        for body, most in (
            ({"max_tokens": 7}, 7),
            ({"max_completion_tokens": 7, "max_tokens": 9}, 9),
            ({"max_tokens": 7.0}, 7),
            ({"max_tokens": 1e300}, None),
            ({"max_tokens": -1}, None),
            ({"max_tokens": "7"}, None),
            ({"max_tokens": None, "generationConfig": []}, None),
        ):
            self.assertEqual(ask(body).max_output, most, body)
        bodies: tuple[tuple[bytes, Any], ...] = (
            (GEMINI, {"generationConfig": {"maxOutputTokens": 7}}),
            (GEMINI, {"generation_config": {"max_output_tokens": 7}}),
            (b"/model/m/converse", {"inferenceConfig": {"maxTokens": 7}}),
            (b"/model/m/invoke", {"textGenerationConfig": {"maxTokenCount": 7}}),
            (b"/v1/responses", {"max_output_tokens": 7}),
            (b"/v1/messages", {"max_tokens": 7}),
        )
        for path, asked in bodies:
            self.assertEqual(ask(asked, path).max_output, 7, asked)

    def test_a_limit_of_another_dialect_is_none(self) -> None:
        """Its provider passes it over, so it must not make what is set aside small."""
        bodies: tuple[tuple[bytes, Any], ...] = (
            (CHAT, {"max_output_tokens": 1}),
            (CHAT, {"generationConfig": {"maxOutputTokens": 1}}),
            (b"/v1/responses", {"max_tokens": 1}),
            (b"/v1/messages", {"parameters": {"max_tokens": 1}}),
        )
        for path, body in bodies:
            self.assertIsNone(ask(body, path).max_output, body)

    def test_the_number_of_answers_is_bounded(self) -> None:
        """And is at least one."""
        for body, answers in (
            ({"n": 0}, 1),
            ({"n": 1e9}, 1024),
            ({"n": []}, 1),
            ({"n": 2, "best_of": 20}, 20),
            ({"generationConfig": {"candidateCount": 4}}, 4),
        ):
            self.assertEqual(ask(body).answers, answers)

    def test_answers_in_the_background(self) -> None:
        """Whatever else than false or null a lenient parser takes for true."""
        values: tuple[Any, ...] = (True, "true", 1, {})
        for value in values:
            self.assertTrue(ask({"background": value}).later)
        for value in (False, None):
            self.assertFalse(ask({"background": value}).later)

    def test_only_keys_that_matter_are_kept(self) -> None:
        """Others cost no memory, however many there are; escapes in a key hide nothing."""
        many = b",".join(b'"%x":1' % number for number in range(1000))
        raws = read_raws(b'{%b,"\\u006dodel":"m","MODEL":"n","model":"o"}' % many)
        self.assertEqual({key: bytes(raws[key]) for key in raws}, _BOTH)
        self.assertEqual(ask(b'{"\\u006dodel":"m"}').model, "m")

    def test_lists_of_models(self) -> None:
        """Beside the model are a way to another one."""
        for key in ("models", "fallbacks"):
            demand = ask({"model": "m", key: ["n"]})
            self.assertEqual(demand.unreadable, "ambiguous_model")
            self.assertEqual(ask({"model": "m", key: []}).unreadable, "")

    def test_no_objects_are_made_of_what_is_no_word(self) -> None:
        """A list of a million lists is no model and no number, whatever key it has."""
        many = b"[" + b"[]," * 1_000_000 + b"0]"
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for key in (b"model", b"models", b"max_tokens", b"n", b"stream"):
            ask(b'{"%b":%b}' % (key, many))
        self.assertLess(tracemalloc.get_traced_memory()[1], 10 * len(many))

    def test_encoded_bodies_are_read(self) -> None:
        """gzip, deflate and br, as Codex and others send them."""
        body = b'{"model":"gpt-5.1"}'
        for name, encode in (
            (b"gzip", gzip.compress),
            (b"deflate", zlib.compress),
            (b"br", brotli.compress),
        ):
            demand = ask(encode(body), fields=[(b"Content-Encoding", name)])
            self.assertEqual((demand.model, demand.input_bytes), ("gpt-5.1", len(body)))
            self.assertEqual(demand.unreadable, "")

    def test_encodings_in_several_lines(self) -> None:
        """They are one list: the first line is not all there is."""
        body = gzip.compress(b'{"model":"gpt-5.1"}')
        for path in (CHAT, b"/v1/other"):
            lines = [(b"Content-Encoding", b"identity"), (b"content-encoding", b"gzip")]
            self.assertEqual(ask(body, path, fields=lines).model, "gpt-5.1")
            unknown = [*lines, (b"Content-Encoding", b"x")]
            demand = ask(body, path, fields=unknown)
            self.assertEqual(demand.unreadable, "content_encoding")

    def test_what_cannot_be_read_is_said(self) -> None:
        """And is inference all the same."""
        for body, fields, word in (
            (b"", [], "not_json"),
            (b"[]", [], "not_json"),
            (b"\xef\xbb\xbf{}", [], "not_json"),
            ('{"model":"m"}'.encode("utf-16"), [], "not_json"),
            (b'{"model":"m","x":NaN}', [], "not_json"),
            (b'{"x":' * 100_000, [], "not_json"),
            (b'{"model":5}', [], "bad_model"),
            (b"x", [(b"content-encoding", b"compress")], "content_encoding"),
            (b"xyz", [(b"content-encoding", b"gzip")], "encoding_broken"),
        ):
            demand = ask(body, fields=fields)
            self.assertEqual((demand.unreadable, demand.inference), (word, True))
        self.assertEqual(ask(b"x", GEMINI).model, "gemini-2.5-flash")

    def test_a_body_that_was_not_held_has_its_length(self) -> None:
        """As far as that is announced."""
        for fields, size in (
            ([(b"Content-Length", b"400")], 400),
            ([(b"Content-Length", b"x")], 0),
            ([], 0),
        ):
            self.assertEqual(ask(None, fields=fields), Demand(True, input_bytes=size))

    def test_images_count_as_what_they_may_cost(self) -> None:
        """Not by their bytes."""
        for begin in (b'"url":"data:image/png;base64,', b'"data" : "', b'"bytes":"'):
            image = b"{" + begin + b"A+/_\\/" * 200_000 + b'"}'
            self.assertLess(prompt_bytes(image * 3), 15_000)
        many = (
            b'["data",' + b'"data",' * 100_000 + b"0]"
        )  # what is looked for has an end
        self.assertEqual(prompt_bytes(many), len(many))
        images = b'{"data":"%b"},' % (b"A" * 8192) * 2000
        self.assertGreater(prompt_bytes(images), len(images) // 2)
        text = b'{"data":"' + b"four words were said " * 1000 + b'"}'
        self.assertEqual(prompt_bytes(text), len(text))


class ModelTests(SynchronousTestCase):
    def test_the_last_of_two_keys_counts(self) -> None:
        """As for the parsers of all providers; escapes do not hide one."""
        self.assertEqual(ask(b'{"model":"a","model":"b"}').model, "b")
        self.assertEqual(ask(b'{"model":"a","mod\\u0065l":"b"}').model, "b")

    def test_keys_that_some_parsers_take_are_ambiguous(self) -> None:
        """Go's compares without case."""
        self.assertEqual(
            ask({"model": "a", "Model": "b"}).unreadable, "ambiguous_model"
        )
        self.assertEqual(ask({"MODEL": "b"}).unreadable, "ambiguous_model")

    def test_names_with_what_does_not_show_are_ambiguous(self) -> None:
        """A provider may take it away, and a pattern would not match."""
        for model in ("gpt\0", " gpt", "gpt\u200b", "gp%74"):
            self.assertEqual(ask({"model": model}).unreadable, "ambiguous_model")
        for path in (
            b"/model/m%2500/invoke",
            b"/model/m%00/invoke",
            b"/model/m%C3/invoke%0A",
        ):
            self.assertIn(ask({}, path).unreadable, ("ambiguous_model", ""))

    def test_the_path_names_the_model(self) -> None:
        """The body's is told beside it, so that neither can be used to pass."""
        demand = ask({"model": "other"}, GEMINI)
        self.assertEqual(
            (demand.model, demand.other, demand.unreadable),
            ("gemini-2.5-flash", "other", ""),
        )
        demand = ask({"model": "models/gemini-2.5-flash"}, GEMINI)
        self.assertEqual((demand.model, demand.other), ("gemini-2.5-flash", ""))
        demand = ask({"model": "x"}, b"/openai/deployments/mine/chat/completions")
        self.assertEqual((demand.model, demand.other), ("mine", "x"))
        demand = ask({"model": "x"}, GEMINI, b"model=y")
        self.assertEqual(demand.unreadable, "ambiguous_model")
        self.assertTrue(ask({}, b"/model/m/converse-stream").stream)

    def test_the_query_names_a_model(self) -> None:
        """For upgrades; a body that differs makes it ambiguous."""
        demand = ask(
            None, b"/v1/realtime", b"a=b&mod%65l=gpt%2Drealtime", method=b"GET"
        )
        self.assertEqual(demand, Demand(model="gpt-realtime"))
        demand = ask({"model": "a"}, CHAT, b"model=b")
        self.assertEqual((demand.model, demand.unreadable), ("a", "ambiguous_model"))
        self.assertEqual(ask({"model": "a"}, CHAT, b"model=a").unreadable, "")
        self.assertEqual(ask(b"", CHAT, b"model=a", method=b"GET").model, "a")

    def test_other_requests_may_name_one(self) -> None:
        """A batch or a count makes no model work here, but a guard may look."""
        self.assertEqual(
            ask({"model": "m"}, b"/v1/messages/count_tokens"), Demand(model="m")
        )
        self.assertEqual(ask(b"", b"/v1/models"), Demand())
        self.assertEqual(ask(None, b"/v1/models", b"model=q"), Demand(model="q"))
        self.assertEqual(ask(b"x", b"/v1/files").unreadable, "not_json")
        demand = ask({"model": "m"}, b"/v1/x", b"model=q")
        self.assertEqual((demand.model, demand.other), ("m", "q"))


TYPE: Fields = [(b"Content-Type", b"multipart/form-data; boundary=XX")]


class FormTests(SynchronousTestCase):
    def form(self, *parts: tuple[str, str]) -> bytes:
        """A form with a file."""
        text = (
            '--XX\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        )
        text += "RIFF" * 1000 + "\r\n"
        for name, value in parts:
            text += f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        return text.encode() + b"--XX--\r\n"

    def test_forms_name_their_model(self) -> None:
        """The file counts for nothing: its length tells no tokens."""
        body = self.form(("model", "whisper-1"), ("stream", "true"), ("n", "2"))
        demand = ask(body, b"/v1/audio/transcriptions", fields=TYPE)
        self.assertEqual(
            demand,
            Demand(
                inference=True,
                model="whisper-1",
                input_bytes=14,
                answers=2,
                stream=True,
            ),
        )
        body = self.form(("model", "m"), ("n", "x"))
        self.assertEqual(ask(body, b"/v1/images/edits", fields=TYPE).answers, 1)

    def test_forms_that_can_be_read_in_two_ways_are_unreadable(self) -> None:
        """Two models in one."""
        body = self.form(("model", "a"), ("model", "b"))
        demand = ask(body, b"/v1/images/edits", fields=TYPE)
        self.assertEqual((demand.unreadable, demand.inference), ("bad_form", True))


_BOTH = {"model": b'"o"', "MODEL": b'"n"'}
