"""Run as a program: turns in one session of Codex, as an editor has them by its app server.

Arguments: the Codex CLI, and a prompt for each turn. It speaks JSON-RPC, a line for each
message, with ``codex app-server``, and prints each turn's answer on a line.
"""

import json
import subprocess
import sys
from typing import IO, Any, cast


class Session:
    """A conversation with the app server."""

    def __init__(self, codex: str) -> None:
        self._process = subprocess.Popen(
            [codex, "app-server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._asked = 0

    def ask(self, method: str, **parameters: Any) -> Any:
        """Call a method; its result."""
        self._asked += 1
        self._tell({"id": self._asked, "method": method, "params": parameters})
        while True:
            heard = self.hear()
            if heard.get("id") == self._asked and "method" not in heard:
                if "error" in heard:
                    raise SystemExit(f"{method}: {heard['error']}")
                return heard["result"]

    def notify(self, method: str) -> None:
        """Say something that has no answer."""
        self._tell({"method": method})

    def hear(self) -> Any:
        """The next message."""
        line = cast(IO[bytes], self._process.stdout).readline()
        if not line:
            raise SystemExit("the app server has gone")
        return json.loads(line)

    def end(self) -> None:
        """End it as an editor does."""
        cast(IO[bytes], self._process.stdin).close()
        self._process.wait()

    def _tell(self, message: Any) -> None:
        stream = cast(IO[bytes], self._process.stdin)
        stream.write(json.dumps(message).encode() + b"\n")
        stream.flush()


def main(codex: str, *prompts: str) -> None:
    """The session."""
    session = Session(codex)
    client = {"name": "apiproxy-tests", "title": "apiproxy", "version": "1"}
    session.ask("initialize", clientInfo=client)
    session.notify("initialized")
    thread = session.ask("thread/start")["thread"]["id"]
    for prompt in prompts:
        asked = [{"type": "text", "text": prompt}]
        session.ask("turn/start", threadId=thread, input=asked)
        print(_answer(session), flush=True)
    session.end()


def _answer(session: Session) -> str:
    said = ""
    while True:
        heard = session.hear()
        parameters = heard.get("params", {})
        item = parameters.get("item", {})
        if heard.get("method") == "error":
            print(f"error: {parameters}", flush=True)
        if heard.get("method") == "item/completed" and item["type"] == "agentMessage":
            said += item["text"]
        if heard.get("method") == "turn/completed":
            return said


if __name__ == "__main__":
    main(*sys.argv[1:])
