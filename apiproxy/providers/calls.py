"""Which paths make a model work, in whose dialect, and the model that a path names.

All dialects are known on every port: Copilot's serves three of them, and behind a target of
the operator's own may stand anything. A base path in front does not matter, since only the
end of a path is looked at. What only lists, counts, stores or cancels is none of these;
neither are batches, whose work is done later and told elsewhere.

Where a budget is set, what is none of these is not let through for that reason alone: a path
that nobody here knows may well make a model work. Only what ``costs_nothing`` is.
"""

import re
from typing import Literal
from urllib.parse import unquote_to_bytes

from attrs import frozen

from apiproxy.core.values import Fields

Shape = Literal[
    "chat",
    "completions",
    "responses",
    "messages",
    "embeddings",
    "images",
    "audio",
    "realtime",
    "gemini",
    "live",
    "converse",
    "invoke",
]
"""A dialect, as far as answers look different in it."""


@frozen
class Call:
    """What a path asks for.

    Attributes:
        shape: how it is answered.
        inference: whether it makes a model work.
        model: the one that the path names, its escapes undone; empty for none.
        stream: whether the path alone asks for a stream.
    """

    shape: Shape
    inference: bool = True
    model: str = ""
    stream: bool = False


_ENDS: dict[bytes, Shape] = {
    b"/chat/completions": "chat",
    b"/completions": "completions",
    b"/complete": "completions",
    b"/responses": "responses",
    b"/responses/compact": "responses",
    b"/messages": "messages",
    b"/embeddings": "embeddings",
    b"/images/generations": "images",
    b"/images/edits": "images",
    b"/images/variations": "images",
    b"/audio/speech": "audio",
    b"/audio/transcriptions": "audio",
    b"/audio/translations": "audio",
    b"/realtime": "realtime",
}

_LAST = re.compile(
    rb"(?:/images|/audio|/chat|/responses)?"
    rb"/(?:completions|complete|responses|compact|messages|embeddings|generations|edits"
    rb"|variations|speech|transcriptions|translations|realtime)/*\Z"
)

_GOOGLE = re.compile(rb"/(?:models|tunedModels|endpoints)/([^/]+):([A-Za-z]+)/*\Z")
_GOOGLE_LIVE = re.compile(rb"[./]BidiGenerateContent(?:Constrained)?/*\Z")
_GOOGLE_INFERENCE = frozenset(
    {
        b"directPredict",
        b"directRawPredict",
        b"embedContent",
        b"batchEmbedContents",
        b"generateAnswer",
        b"generateContent",
        b"generateMessage",
        b"generateText",
        b"predict",
        b"predictLongRunning",
        b"rawPredict",
        b"serverStreamingPredict",
        b"streamGenerateContent",
        b"streamRawPredict",
    }
)
_VERTEX_COUNTS = "count-tokens"
"""What stands for a model where Vertex counts tokens for Anthropic's models."""

_BEDROCK = re.compile(
    rb"/model/([^/]+)/"
    rb"(invoke|invoke-with-response-stream|converse|converse-stream)/*\Z"
)
_AZURE = re.compile(rb"/deployments/([^/]+)/")

_SELECTORS = frozenset({"fields", "callback"})
"""Parameters of all of Google's APIs, by which an answer loses its figures or its form."""

_MOST_PAIRS = 100
"""Of a query; each is looked at."""

_FORMS = frozenset({"json", "sse"})
"""Values of ``alt``, which says the form, that leave the figures to be read."""

_READING = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})
"""Methods that make no model work."""

_FREE = re.compile(
    rb"(?:/[A-Za-z0-9_.@-]+)*"
    rb"(?:/messages/count_tokens|/responses/input_tokens|/model/[A-Za-z0-9_.:@-]+/count-tokens"
    rb"|/models/(?:[A-Za-z0-9_.@-]|%40)+:(?:countTokens|computeTokens)"
    rb"|/(?:responses|batches|uploads)/[A-Za-z0-9_.-]+/cancel|/files|/uploads"
    rb"|/uploads/[A-Za-z0-9_.-]+/(?:parts|complete)|/moderations|/traces/ingest"
    rb"|/conversations(?:/[A-Za-z0-9_.-]+(?:/items)?)?"
    rb"|/models/session(?:/[A-Za-z0-9_.-]+)?|/models/[A-Za-z0-9_.@-]+/policy"
    rb"|/mcp(?:/[A-Za-z0-9_.-]+)*|/api/event_logging/(?:v2/)?batch|/api/claude_code/metrics)"
    rb"/*\Z"
)
"""What counts tokens, stores, cancels or reports. Nothing in it can be read in two ways."""


def costs_nothing(method: bytes, path: bytes) -> bool:
    """Whether a request surely makes no model work.

    Args:
        method: as sent; one in an unusual spelling may be any to its server.
        path: without its query.
    """
    if method in _READING or _FREE.match(path) is not None:
        return True
    call = _google(path)
    return call is not None and call.model == _VERTEX_COUNTS and not call.inference


def hides_figures(path: bytes, query: bytes, fields: Fields) -> bool:
    """Whether Google is asked to leave figures out of an answer, or for one that is no JSON.

    It takes that from whoever asks, for each of its methods: ``?fields=candidates`` gives an
    answer without ``usageMetadata``, ``?alt=proto`` one in another language.

    Args:
        path: without its query.
        query: what stands after the question mark.
        fields: the request's header lines.
    """
    if _GOOGLE.search(path) is None:
        return False
    pairs = re.split(rb"[&;]", query, maxsplit=_MOST_PAIRS)
    if len(pairs) > _MOST_PAIRS:  # nobody who means well
        return True
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        key = plain_name(name).lstrip("$").lower()
        form = plain_name(value).partition(";")[0].lower()
        if key in _SELECTORS or (key == "alt" and form not in _FORMS):
            return True
    return any(
        name.lower() == b"x-goog-fieldmask"
        or (name.lower() == b"accept" and b"protobuf" in value.lower())
        for name, value in fields
    )


def read_call(method: bytes, path: bytes) -> Call | None:
    """What a path asks for; None for all that is none of our dialects.

    Args:
        method: anything but POST makes no model work.
        path: without its query.
    """
    call = _plain(path) or _google(path) or _bedrock(path)
    if call is None or method == b"POST":
        return call
    return Call(call.shape, False, call.model)


def _plain(path: bytes) -> Call | None:
    found = _LAST.search(path)
    if found is None:
        return None
    end = found.group().rstrip(b"/")
    shape = _ENDS.get(end) or _ENDS.get(end[end.rfind(b"/") :])
    if shape is None:
        return None
    azure = _AZURE.search(path)
    return Call(shape, model="" if azure is None else plain_name(azure.group(1)))


def _google(path: bytes) -> Call | None:
    found = _GOOGLE.search(path)
    if found is None:
        return Call("live", False) if _GOOGLE_LIVE.search(path) else None
    model, verb = plain_name(found.group(1)), found.group(2)
    inference = verb in _GOOGLE_INFERENCE and model != _VERTEX_COUNTS
    shape: Shape = "messages" if b"rawpredict" in verb.lower() else "gemini"
    return Call(shape, inference, model, verb.lower().find(b"stream") >= 0)


def _bedrock(path: bytes) -> Call | None:
    found = _BEDROCK.search(path)
    if found is None:
        return None
    verb = found.group(2)
    shape: Shape = "converse" if verb.startswith(b"converse") else "invoke"
    return Call(
        shape, model=plain_name(found.group(1)), stream=verb.endswith(b"stream")
    )


def plain_name(escaped: bytes) -> str:
    """A name out of a path or a query, its escapes undone once."""
    return unquote_to_bytes(escaped).decode("utf-8", "replace")
