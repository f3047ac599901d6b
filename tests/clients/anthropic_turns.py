"""Run as a program: the ``anthropic`` SDK does things, and prints what it saw as JSON.

Arguments: names of functions below, with commas between; the base URL and the key, without
which the environment has both.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from anthropic import Anthropic, APIStatusError
from anthropic.types import MessageParam

from tests.clients.between import between, once

_ASKED: list[MessageParam] = [{"role": "user", "content": "Good morning"}]


def messages(client: Anthropic) -> Any:
    """A message; its text."""
    message = client.messages.create(model="mock-1", max_tokens=64, messages=_ASKED)
    return [block.text for block in message.content if block.type == "text"]


def stream(client: Anthropic) -> Any:
    """A message as a stream; its deltas, and its text."""
    with client.messages.stream(
        model="mock-1", max_tokens=64, messages=_ASKED
    ) as events:
        deltas = list(events.text_stream)
        return [deltas, events.get_final_text()]


def count_tokens(client: Anthropic) -> Any:
    """How many tokens a message has."""
    return client.messages.count_tokens(model="mock-1", messages=_ASKED).input_tokens


def models(client: Anthropic) -> Any:
    """The models there are."""
    return [model.id for model in client.models.list()]


def batches(client: Anthropic) -> Any:
    """The batches there are."""
    return [batch.id for batch in client.messages.batches.list()]


def upload(client: Anthropic) -> Any:
    """A file that is uploaded; its name and its size."""
    files = getattr(client, "files", client.beta.files)
    file = files.upload(file=("notes.txt", b"x" * 100_000, "text/plain"))
    return [file.filename, file.size_bytes]


def twice(client: Anthropic) -> Any:
    """Two messages for one client, with whatever the test does between."""
    return between(lambda: messages(client))


def spent_messages(client: Anthropic) -> Any:
    """A message, and what is raised for the next."""
    return once(lambda: messages(client), _raised)


def spent_stream(client: Anthropic) -> Any:
    """The same as streams."""
    return once(lambda: stream(client), _raised)


def failing(client: Anthropic) -> Any:
    """A message that cannot be had; what is raised."""
    return _raised(lambda: messages(client))


def cut(client: Anthropic) -> Any:
    """A stream that breaks; what is raised. None if nothing is."""
    return _raised(lambda: stream(client))


def _raised(action: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        action()
    except APIStatusError as error:
        return {
            "kind": type(error).__name__,
            "status": error.status_code,
            "message": str(error),
            "body": error.body,
        }
    except Exception as error:
        return {"kind": type(error).__name__, "message": str(error)}
    return None


if __name__ == "__main__":
    turns, *where = sys.argv[1:]
    options: Any = dict(zip(("base_url", "api_key"), where, strict=False))
    with Anthropic(timeout=120, **options) as client:
        for turn in turns.split(","):
            print(json.dumps(globals()[turn](client)))
