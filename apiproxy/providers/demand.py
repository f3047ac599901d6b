"""What a request asks of a model, read from its path, query and body.

Guards and budgets decide on this, so a body that its provider could read otherwise than we
do is said to be unreadable: what is no JSON to the letter (with a byte order mark, in UTF-16,
with ``NaN``), a key that differs from ``model`` in its case only (some parsers take it), a
name with characters that do not show. Of a key that stands there twice the last one counts,
as for the parsers of all providers. A body is decoded once, and only its top level is made
into objects.
"""

import re
from collections.abc import Mapping
from itertools import product

import msgspec

from apiproxy.core.inflate import Inflate
from apiproxy.core.usage import Demand
from apiproxy.core.values import Fields, first, joined
from apiproxy.providers.calls import Call, Shape, plain_name, read_call
from apiproxy.providers.forms import UnreadableForm, read_form

MAX_BODY = 32 * 1024 * 1024
"""Bytes that a compressed body may inflate to."""

NOT_JSON = "not_json"
AMBIGUOUS = "ambiguous_model"
BAD_MODEL = "bad_model"
BAD_FORM = "bad_form"

_MOST_ANSWERS = 1024
_MOST_TOKENS = 1 << 40

_LIMITS = (
    "max_output_tokens",
    "max_completion_tokens",
    "max_tokens",
    "max_tokens_to_sample",
    "maxOutputTokens",
    "maxTokens",
    "maxTokenCount",
    "max_gen_len",
)
_OWN_LIMITS: Mapping[Shape, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens", "max_tokens_to_sample"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
"""The limits that hold in these dialects. A limit of another dialect would be passed over by
the provider, and let an agent set aside too little."""

_ANSWERS = ("n", "best_of", "candidateCount", "candidate_count")
_LATER = ("background", "deferred")
"""What Responses and xAI call an answer that is made in the background."""

_FALLBACKS = ("models", "fallbacks")
"""Lists of other models, by which routers in front of several providers choose."""

_NESTED = (
    "generationConfig",
    "generation_config",
    "inferenceConfig",
    "textGenerationConfig",
    "parameters",
)

_ENCODED = re.compile(rb'[\s:"]*+[A-Za-z0-9+/=_\\-]*+')
_FILES = (b"base64,", b'"data"', b'"bytes"')
"""What stands before base64: in a data URL, and as the key of its own in other dialects."""

_MOST_FILES = 1000
"""Those that are looked for. More of them count as text."""

_FILE_BYTES = 4096
"""What an image or a file counts as: about a thousand tokens, whatever its size."""

_KNOWN = (
    *(_LIMITS + _ANSWERS + _NESTED + _LATER + _FALLBACKS),
    *("stream", "type", "response", "generate", "stream_id"),
    *("setup", "clientContent", "realtimeInput", "toolResponse", "turnComplete"),
    *("client_content", "realtime_input", "tool_response", "turn_complete"),
)
"""The keys that matter anywhere, besides all spellings of ``model``."""

_MODELS = tuple(map("".join, product("mM", "oO", "dD", "eE", "lL")))

Raws = Mapping[str, msgspec.Raw]

# A dictionary of all keys would be as large as an agent likes: a gigabyte, and seconds of
# work, for a body of 60 MB. What is not in this structure is passed over.
_Top: type[msgspec.Struct] = msgspec.defstruct(
    "_Top",
    [
        (f"at{number}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET)
        for number in range(len(_KNOWN + _MODELS))
    ],
    rename={f"at{number}": key for number, key in enumerate(_KNOWN + _MODELS)},
)
_top = msgspec.json.Decoder(_Top)
# Only what is plain is made into an object: anything else may be a million of them.
_number: msgspec.json.Decoder[float] = msgspec.json.Decoder(int | float)
_text = msgspec.json.Decoder(str)
_NOTHING = (b"null", b"false", b"0", b'""', b"[]", b"{}")


class Unreadable(Exception):
    """A body, or the model in it, cannot be read; its text is the word for it."""


def read_demand(
    method: bytes, path: bytes, query: bytes, body: bytes | None, fields: Fields
) -> Demand:
    """What a request asks of a model.

    Args:
        method: as sent.
        path: as it will be sent upstream, without the query.
        query: what stands after the question mark.
        body: as it came, with whatever encoding it has; None if it was not held.
        fields: its header lines.
    """
    call = read_call(method, path)
    asked = _from_query(query)
    if call is None:
        return Demand(model=asked) if body is None else _other(asked, body, fields)
    if body is None:
        length = first(fields, b"content-length") or b"0"
        size = int(length) if length.isdigit() and len(length) < 16 else 0
        return _named(Demand(call.inference, input_bytes=size), call, asked)
    if not body and not call.inference:
        return _named(Demand(), call, asked)
    try:
        return _named(_from_body(call, body, fields), call, asked)
    except Unreadable as reason:
        told = Demand(
            call.inference,
            input_bytes=len(body),
            stream=call.stream,
            unreadable=str(reason),
        )
        return _named(told, call, asked)


def read_raws(body: bytes) -> Raws:
    """What matters of the top level of a JSON object.

    Raises:
        Unreadable: it is none.
    """
    try:
        top = _top.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unreadable(NOT_JSON) from None
    found = zip(_KNOWN + _MODELS, msgspec.structs.astuple(top), strict=True)
    return {key: raw for key, raw in found if raw is not msgspec.UNSET}


def prompt_bytes(body: bytes) -> int:
    """How long a prompt is, with the images and files in it counted as what they may cost."""
    size = len(body)
    for sign in _FILES:
        at = -1
        for _ in range(_MOST_FILES):
            at = body.find(sign, at + 1)
            if at < 0:
                break
            run = _ENCODED.match(body, at + len(sign))
            assert run is not None  # It may match nothing.
            end = run.end()
            size -= max(0, end - at - _FILE_BYTES)
            at = end - 1
    return size


def model_in(raws: Raws) -> str:
    """The model that an object names; empty for none.

    Raises:
        Unreadable: parsers may differ about it, or it is no name.
    """
    if any(key in raws for key in _MODELS[1:]):
        raise Unreadable(AMBIGUOUS)
    if any(_is_said(raws, key) for key in _FALLBACKS):
        raise Unreadable(AMBIGUOUS)
    if bytes(raws.get("model", b"null")).strip() == b"null":
        return ""
    try:
        return checked(_text.decode(raws["model"]))
    except (msgspec.DecodeError, ValueError):
        raise Unreadable(BAD_MODEL) from None


def checked(model: str) -> str:
    """The name of a model, as it is.

    Raises:
        Unreadable: it has characters that do not show, spaces around it or escapes in it,
            which a provider may take away.
    """
    if not model.isprintable() or model != model.strip() or "%" in model:
        raise Unreadable(AMBIGUOUS)
    return model


def most_output(raws: Raws, shape: Shape | None = None) -> int | None:
    """The largest of the limits that an object sets for one answer, in tokens.

    Args:
        raws: the object.
        shape: its dialect; None for any.
    """
    own = None if shape is None else _OWN_LIMITS.get(shape)
    if own is None:
        places = _places(raws)
        found = [number for place in places for number in _numbers(place, _LIMITS)]
    else:
        found = _numbers(raws, own)
    return min(max(found), _MOST_TOKENS) if found else None


def answers_in(raws: Raws) -> int:
    """How many answers an object asks for, at least 1."""
    found = [number for place in _places(raws) for number in _numbers(place, _ANSWERS)]
    return min(max(found, default=1) or 1, _MOST_ANSWERS)


def comes_later(raws: Raws) -> bool:
    """Whether an answer is to be made in the background, and fetched elsewhere."""
    return any(
        bytes(raws[key]).strip() not in (b"false", b"null")
        for key in _LATER
        if key in raws
    )


def _from_query(query: bytes) -> str:
    """The model in a query; of several the last."""
    model = ""
    for pair in query.split(b"&") if query else ():
        name, _, value = pair.partition(b"=")
        if plain_name(name) == "model":
            model = plain_name(value.replace(b"+", b" "))
    return model


def _from_body(call: Call, body: bytes, fields: Fields) -> Demand:
    body = plain_body(body, joined(fields, b"content-encoding"))
    kind = (first(fields, b"content-type") or b"").strip()
    if kind[:10].lower() == b"multipart/":
        return _from_form(call, kind, body)
    raws = read_raws(body)
    return Demand(
        inference=call.inference,
        model=model_in(raws),
        input_bytes=prompt_bytes(body),
        max_output=most_output(raws, call.shape),
        answers=answers_in(raws),
        stream=call.stream or _is_said(raws, "stream"),  # 1 is true to some
        later=comes_later(raws),
    )


def _from_form(call: Call, kind: bytes, body: bytes) -> Demand:
    try:
        form = read_form(kind, body)
    except UnreadableForm:
        raise Unreadable(BAD_FORM) from None
    answers = form.get("n", b"1").strip()
    return Demand(
        inference=call.inference,
        model=checked(form.get("model", b"").decode("utf-8", "replace")),
        input_bytes=sum(map(len, form.values())),
        answers=min(int(answers), _MOST_ANSWERS) if answers[:4].isdigit() else 1,
        stream=form.get("stream", b"").strip().lower() in (b"true", b"1"),
    )


def _other(asked: str, body: bytes, fields: Fields) -> Demand:
    """A request in none of our dialects: the model all the same, if it names one."""
    try:
        model = model_in(
            read_raws(plain_body(body, joined(fields, b"content-encoding")))
        )
    except Unreadable as reason:
        return Demand(model=asked, unreadable=str(reason) if body else "")
    return Demand(model=model or asked, other=asked if model and model != asked else "")


def _named(demand: Demand, call: Call, asked: str) -> Demand:
    """With the model that counts: the path's, else the body's, else the query's."""
    names = [name for name in (call.model, demand.model, asked) if name]
    model = names[0] if names else ""
    others = [name for name in names if _bare(name) != _bare(model)]
    unreadable = demand.unreadable
    try:
        for name in names:
            checked(name)
    except Unreadable as reason:
        unreadable = unreadable or str(reason)
    if len(set(others)) > 1 or (others and not call.model):
        unreadable = unreadable or AMBIGUOUS
    return msgspec.structs.replace(
        demand,
        model=model,
        other=others[0] if others else "",
        unreadable=unreadable,
        stream=demand.stream or call.stream,
    )


def _bare(model: str) -> str:
    """A model's name without the collection in front that Google puts there."""
    return model.rpartition("models/")[2]


def plain_body(body: bytes, encoding: bytes) -> bytes:
    """A body without its encoding, at most ``MAX_BODY`` of it.

    Raises:
        Unreadable: that cannot be undone.
    """
    plain = bytearray()
    inflate = Inflate(encoding, plain.extend, MAX_BODY)
    if inflate.identity:
        return body
    inflate.feed(body)
    inflate.end()
    if inflate.gap:
        raise Unreadable(inflate.gap)
    return bytes(plain)


def _is_said(raws: Raws, key: str) -> bool:
    """Whether there is something under a key that a provider may take for a yes."""
    return bytes(raws.get(key, b"null")).strip() not in _NOTHING


def _places(raws: Raws) -> list[Raws]:
    """The object itself and those in it that hold settings of a generation."""
    places = [raws]
    for key in _NESTED:
        raw = raws.get(key)
        if raw is not None:
            try:
                places.append(read_raws(bytes(raw)))
            except Unreadable:
                continue
    return places


def _numbers(raws: Raws, keys: tuple[str, ...]) -> list[int]:
    """The whole positive numbers under some keys."""
    values = [_number_in(raws[key]) for key in keys if key in raws]
    return [int(value) for value in values if 0 < value <= _MOST_TOKENS]


def _number_in(raw: msgspec.Raw) -> float:
    """A number; 0 for what is none."""
    try:
        return _number.decode(raw)
    except (msgspec.DecodeError, ValueError):
        return 0
