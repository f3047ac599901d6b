"""Run as a program: a turn of the Codex CLI, through the proxy and Squid, to a provider.

Everything is started in here, so that all of it shares a network namespace if it was given
one of its own. Arguments: ``on`` or ``off``, for ``APIPROXY_WEBSOCKET``. Prints as JSON:

- ``code``, ``events``, ``err``: Codex's exit code, its JSON lines, its standard error;
- ``upgrades``, ``posts``, ``others``: how many requests of each kind the provider got;
- ``asked``: the types of what came on its WebSockets;
- ``credentials``: the values of ``Authorization`` that it got;
- ``leaked``: whether the placeholder was in anything that it got, or that was logged;
- ``connects``: status and authority of each line in Squid's log;
- ``outcomes``: event, status and error of each outcome in the proxy's log.
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.clients.answers import responses
from tests.kit.line import IReactor
from tests.kit.provider import Provider
from tests.kit.running import ROOT, Program, Service, ran
from tests.kit.squid import Squid
from tests.kit.tls import authority

CODEX = ROOT / ".agents/node_modules/.bin/codex"
"""Where ``make agents`` puts it."""

KEY = "sk-the-real-key-Vx83Qz"
PLACEHOLDER = "sk-placeholder-of-codex"

# Without the quiet keys it also looks for its maker's other services.
CONFIGURATION = """\
model = "gpt-5.5"
openai_base_url = "http://127.0.0.1:{port}/v1"
check_for_update_on_startup = false
web_search = "disabled"
[analytics]
enabled = false
[otel]
exporter = "none"
metrics_exporter = "none"
trace_exporter = "none"
[feedback]
enabled = false
[features]
plugins = false
apps = false
remote_plugin = false
"""


async def turn(reactor: IReactor, websocket: str) -> None:
    """The turn."""
    provider = Provider(reactor, authority().identity().options())
    provider.on(b"/v1/responses", responses())
    await provider.start()
    squid = Squid(reactor, [provider.port])
    try:
        await squid.start()
        environ = {
            "OPENAI_API_KEY": KEY,
            "OPENAI_API_TARGET": f"api.openai.com:{provider.port}",
            "HTTPS_PROXY": squid.url,
            "APIPROXY_REQUIRE_PROXY": "1",
            "APIPROXY_CA_FILE": str(authority().pem),
            "APIPROXY_VALIDATE_KEYS": "off",
            "APIPROXY_WEBSOCKET": websocket,
            "APIPROXY_LOG_LEVEL": "debug",
            "APIPROXY_GRACE_SECONDS": "2",
        }
        service = Service(reactor, environ)
        await service.start()
        with tempfile.TemporaryDirectory(prefix="apiproxy-codex-") as home:
            try:
                found = await _codex(reactor, Path(home), service.port("openai"))
            finally:
                await service.stop()
        await provider.left()
        found |= _seen(provider, service)
        found["connects"] = [[line.status, line.authority] for line in squid.log()]
        found["port"] = provider.port
        print(json.dumps(found))
    finally:
        await squid.stop()
        await provider.stop()


async def _codex(reactor: IReactor, home: Path, port: int) -> dict[str, Any]:
    """Run it."""
    folder = home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIGURATION.format(port=port))
    arguments = [str(CODEX), "exec", "--json", "--skip-git-repo-check", "say hello"]
    environ = {
        "HOME": str(home),
        "CODEX_HOME": str(folder),
        "CODEX_API_KEY": PLACEHOLDER,
    }
    codex = Program(reactor, arguments, environ, home)
    # It may well hang for ever when something is wrong (and then fails, instead of the test).
    late = reactor.callLater(120, codex.signal, "KILL")
    end = await ran(codex)
    if late.active():
        late.cancel()
    events = [json.loads(line) for line in end.out.splitlines()]
    return {"code": end.code, "events": events, "err": end.err}


def _seen(provider: Provider, service: Service) -> dict[str, Any]:
    """What the provider and the log have seen."""
    kinds: Counter[str] = Counter()
    for request in provider.requests:
        post = "posts" if request.method == b"POST" else "others"
        kinds["upgrades" if request.upgrade else post] += 1
    sent = [str(each) for socket in provider.sockets for each in socket.messages]
    everything = [bytes(service.out), *(each.encode() for each in sent)]
    for request in provider.requests:
        everything += [request.head, bytes(request.body)]
    return {
        "upgrades": kinds["upgrades"],
        "posts": kinds["posts"],
        "others": kinds["others"],
        "asked": [json.loads(each)["type"] for each in sent],
        "deflate": [socket.deflate for socket in provider.sockets],
        "credentials": [
            value.decode()
            for request in provider.requests
            for name, value in request.fields
            if name.lower() == b"authorization"
        ],
        "leaked": any(PLACEHOLDER.encode() in each for each in everything),
        "outcomes": [
            [line["event"], line["status"], line.get("error")]
            for line in service.lines
            if "status" in line
        ],
        "service_code": service.code,
        "exceptions": [line for line in service.lines if line["event"] == "exception"],
    }


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(turn(reactor, sys.argv[1])))
