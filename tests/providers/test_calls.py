"""Tests of ``apiproxy.providers.calls``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.calls import hides_figures, read_call

PATHS = {
    b"/v1/chat/completions": ("chat", ""),
    b"/chat/completions/": ("chat", ""),
    b"/v1/completions": ("completions", ""),
    b"/v1/complete": ("completions", ""),
    b"/v1/responses": ("responses", ""),
    b"/v1/responses/compact": ("responses", ""),
    b"/base/responses": ("responses", ""),
    b"/v1/messages": ("messages", ""),
    b"/v1/embeddings": ("embeddings", ""),
    b"/v1/images/generations": ("images", ""),
    b"/v1/images/edits": ("images", ""),
    b"/v1/audio/speech": ("audio", ""),
    b"/v1/audio/transcriptions": ("audio", ""),
    b"/v1/realtime": ("realtime", ""),
    b"/v1beta/openai/chat/completions": ("chat", ""),
    b"/v1/projects/p/locations/l/endpoints/openapi/chat/completions": ("chat", ""),
    b"/v1beta/models/gemini-2.5-flash:generateContent": ("gemini", "gemini-2.5-flash"),
    b"/v1beta/models/g%2Fx:embedContent": ("gemini", "g/x"),
    b"/v1beta/tunedModels/mine:generateContent": ("gemini", "mine"),
    b"/v1/projects/p/locations/l/publishers/anthropic/models/claude-5@1:rawPredict": (
        "messages",
        "claude-5@1",
    ),
    b"/v1/projects/p/locations/l/endpoints/42:predict": ("gemini", "42"),
    b"/model/anthropic.claude-5-v1%3A0/invoke": ("invoke", "anthropic.claude-5-v1:0"),
    b"/model/arn%3Aaws%3Abedrock%2Fx/converse": ("converse", "arn:aws:bedrock/x"),
    b"/openai/deployments/my-gpt/chat/completions": ("chat", "my-gpt"),
    b"/openai/deployments/my-gpt/embeddings": ("embeddings", "my-gpt"),
}

STREAMS = {
    b"/v1beta/models/gemini-2.5-flash:streamGenerateContent": "gemini",
    b"/v1/publishers/anthropic/models/claude-5:streamRawPredict": "messages",
    b"/model/m/converse-stream": "converse",
    b"/model/m/invoke-with-response-stream": "invoke",
}

QUIET = {
    b"/v1beta/models/gemini-2.5-flash:countTokens": "gemini-2.5-flash",
    b"/v1beta/models/gemini-2.5-flash:batchGenerateContent": "gemini-2.5-flash",
    b"/v1/publishers/anthropic/models/count-tokens:rawPredict": "count-tokens",
}

OTHERS = (
    b"/",
    b"/v1/models",
    b"/v1/models/gpt-5.1",
    b"/v1beta/models",
    b"/v1/messages/count_tokens",
    b"/v1/messages/batches",
    b"/v1/responses/resp_1",
    b"/v1/responses/resp_1/cancel",
    b"/v1/responses/input_tokens",
    b"/v1/files",
    b"/model/m/count-tokens",
    b"/compact",
    b"/generations",
    b"/v1/completionsx",
)


class CallTests(SynchronousTestCase):
    def test_paths_that_make_a_model_work(self) -> None:
        """Of all dialects, behind any base path, with the model that some of them name."""
        for path, (shape, model) in PATHS.items():
            call = read_call(b"POST", path)
            assert call is not None, path
            self.assertEqual((call.shape, call.model), (shape, model))
            self.assertEqual((call.inference, call.stream), (True, False), path)

    def test_paths_that_ask_for_a_stream(self) -> None:
        """Google's and Bedrock's say it in the path."""
        for path, shape in STREAMS.items():
            call = read_call(b"POST", path)
            assert call is not None, path
            self.assertEqual(
                (call.shape, call.inference, call.stream), (shape, True, True)
            )

    def test_counting_is_no_work(self) -> None:
        """But the model is named all the same."""
        for path, model in QUIET.items():
            call = read_call(b"POST", path)
            assert call is not None, path
            self.assertEqual((call.inference, call.model), (False, model))

    def test_other_paths_are_none_of_ours(self) -> None:
        """Lists, counts, files, batches, and what was stored."""
        for path in OTHERS:
            self.assertIsNone(read_call(b"POST", path), path)

    def test_only_a_post_makes_a_model_work(self) -> None:
        """An upgrade is a GET; what comes on the socket is looked at there."""
        for path in (b"/v1/responses", b"/v1/realtime"):
            call = read_call(b"GET", path)
            assert call is not None
            self.assertFalse(call.inference)
        call = read_call(
            b"GET", b"/ws/google.ai.v1beta.GenerativeService.BidiGenerateContent"
        )
        assert call is not None
        self.assertEqual((call.shape, call.inference), ("live", False))


class FigureTests(SynchronousTestCase):
    def test_google_can_be_asked_for_less(self) -> None:
        """In its query and in header lines, as one may write them."""
        path = b"/v1beta/models/gemini-2.5-pro:generateContent"
        for query in (
            b"fields=candidates",
            b"a=b&$fields=candidates",
            b"%24f%69elds=candidates",
            b"alt=proto",
            b"alt=sse&alt=proto",
            b"$alt=media;x",
            b"callback=f",
        ):
            self.assertTrue(hides_figures(path, query, []), query)
            self.assertFalse(hides_figures(b"/v1/responses", query, []), query)
        for line in (
            (b"X-Goog-FieldMask", b"candidates"),
            (b"Accept", b"application/x-protobuf"),
        ):
            self.assertTrue(hides_figures(path, b"", [line]), line)

    def test_endless_queries_are_not_read(self) -> None:
        """Whoever sends one has something to hide, or wants to keep us busy."""
        path = b"/v1beta/models/gemini-2.5-pro:generateContent"
        for number, hides in ((20, False), (60_000, True)):
            query = b"&".join([b"a=b"] * number)
            self.assertEqual(hides_figures(path, query, []), hides, number)

    def test_what_is_usual_hides_nothing(self) -> None:
        """Agents ask for events, and for JSON."""
        path = b"/v1beta/models/gemini-2.5-pro:streamGenerateContent"
        usual = [(b"Accept", b"*/*"), (b"x-goog-api-client", b"gl-python/3.13")]
        for query in (
            b"",
            b"alt=sse",
            b"$alt=json&prettyPrint=false",
            b"$alt=json;enum-encoding=int",
            b"%24alt=json%3Benum-encoding%3Dint",
        ):
            self.assertFalse(hides_figures(path, query, usual), query)
