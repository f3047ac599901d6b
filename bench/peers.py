"""The contestants: apiproxy and those it is compared with, each started in one way.

Each is given the port of a TLS provider on 127.0.0.1 whose certificate it must verify, keeps
connections to it alive, and puts a credential in, with the features it has. Only apiproxy
goes through Squid; the others cannot, or not with reuse, and are spared it.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import field, frozen

from bench import templates
from bench.processes import Running, Unavailable, free_ports, wait_listening
from bench.rig import HOST, Rig, find

_ROOT = Path(__file__).parent.parent
_INSTALLED = _ROOT / ".bench"
_PATIENCE = 90.0
_KEY = "sk-proj-T3BlbkFJX9Q-real-of-the-benchmark"


@frozen
class Started:
    """A contestant that takes connections.

    Attributes:
        port: of 127.0.0.1, where.
        running: the process; None for the provider itself.
        seconds: from the start of the process until it took connections.
        fields: header lines that it wants from agents.
        tls: whether it speaks TLS.
    """

    port: int
    running: Running | None
    seconds: float = 0.0
    fields: Mapping[str, str] = field(factory=dict)
    tls: bool = False


@frozen
class Contestant:
    """A way from the agent to the provider.

    Attributes:
        name: one word.
        label: for the table.
        version: finds it out, or raises ``Unavailable``.
        start: starts it in front of a provider's port; the name is for its files.
        cannot: what it does not do, by what is asked of it: ``sse``, ``ws`` or ``deflate``.
        slow: whether a unit of work costs it many times what it costs the others.
        streams: how many paced streams it can carry, if that is less than what is asked.
        pings: seconds of silence after which it pings an idle WebSocket; 0: never.
    """

    name: str
    label: str
    version: Callable[[], str]
    start: Callable[[Rig, int, str], Started]
    cannot: Mapping[str, str] = field(factory=dict)
    slow: bool = False
    streams: int | None = None
    pings: float = 0.0


def _start(
    rig: Rig,
    name: str,
    command: list[str],
    port: int,
    env: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
) -> Started:
    running = rig.stage.start(
        name, command, core=rig.cores.proxy, env=env, cwd=rig.stage.folder
    )
    try:
        seconds = wait_listening(running, port, _PATIENCE)
    except Unavailable:
        rig.stage.stop(running)
        raise
    return Started(port, running, seconds, fields or {})


def _conf(rig: Rig, file: str, text: str, **values: object) -> Path:
    path = rig.stage.folder / file
    path.write_text(
        text.format(
            folder=rig.stage.folder,
            host=HOST,
            authority=rig.authority,
            key=_KEY,
            **values,
        )
    )
    return path


def start_apiproxy(rig: Rig, upstream: int, name: str, **extra: str) -> Started:
    """Start apiproxy, with further settings if any."""
    providers = ("OPENAI", "ANTHROPIC", "COPILOT", "GEMINI", "OPENCODE", "VERTEX")
    ports = free_ports(len(providers))
    env = {
        **{
            f"APIPROXY_{provider}_PORT": str(port)
            for provider, port in zip(providers, ports, strict=True)
        },
        "OPENAI_API_KEY": _KEY,
        "OPENAI_API_TARGET": f"{HOST}:{upstream}",
        "APIPROXY_CA_FILE": str(rig.authority),
        "APIPROXY_GRACE_SECONDS": "0",
        "HTTPS_PROXY": f"http://127.0.0.1:{rig.squid}",
        **extra,
    }
    # The checkout's own, not whatever the folder it runs in may hold.
    twistd = Path(sys.executable).with_name("twistd")
    return _start(
        rig, name, [str(twistd), "-n", "--pidfile=", "apiproxy"], ports[0], env
    )


def _nginx(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    user = "user root;" if os.getuid() == 0 else ""
    conf = _conf(
        rig,
        f"{name}.conf",
        templates.NGINX,
        name=name,
        port=port,
        upstream=upstream,
        user=user,
    )
    command = [_need("nginx"), "-c", str(conf), "-p", str(rig.stage.folder)]
    return _start(rig, name, command, port)


def _haproxy(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    conf = _conf(rig, f"{name}.cfg", templates.HAPROXY, port=port, upstream=upstream)
    return _start(rig, name, [_need("haproxy"), "-db", "-f", str(conf)], port)


def _mitmproxy(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    addon = _conf(rig, f"{name}.py", templates.MITMPROXY)
    command = [
        _need(".bench/mitmproxy/bin/mitmdump"),
        *("--mode", f"reverse:https://{HOST}:{upstream}", "--quiet"),
        *("--listen-host", "127.0.0.1", "--listen-port", str(port), "-s", str(addon)),
        *("--set", f"ssl_verify_upstream_trusted_ca={rig.authority}"),
        *("--set", f"confdir={rig.stage.folder}/{name}"),
        *("--set", "connection_strategy=lazy"),
    ]
    return _start(rig, name, command, port)


def _litellm(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    master = f"sk-{secrets.token_hex(24)}"  # it refuses to serve without one
    conf = _conf(
        rig, f"{name}.yaml", templates.LITELLM, upstream=upstream, master=master
    )
    command = [
        _need(".bench/litellm/bin/litellm"),
        *("--config", str(conf), "--host", "127.0.0.1", "--port", str(port)),
    ]
    env = {
        "SSL_CERT_FILE": str(rig.authority),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "NO_DOCS": "True",
        "DISABLE_ADMIN_UI": "True",
    }
    fields = {"Authorization": f"Bearer {master}"}
    return _start(rig, name, command, port, env, fields)


def _portkey(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    server = "node_modules/@portkey-ai/gateway/build/start-server.js"
    script = _need(f".bench/portkey/{server}")
    env = {
        "NODE_EXTRA_CA_CERTS": str(rig.authority),
        "TRUSTED_CUSTOM_HOSTS": HOST,
        "NODE_ENV": "production",
    }
    fields = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"https://{HOST}:{upstream}/v1",
    }
    command = [_need("node"), script, f"--port={port}", "--headless"]
    return _start(rig, name, command, port, env, fields)


def _direct(rig: Rig, upstream: int, name: str) -> Started:
    return Started(upstream, None, tls=True)


def _need(program: str) -> str:
    """Its path.

    Raises:
        Unavailable: it is not installed.
    """
    if "/" in program:
        path = _ROOT / program
        if path.exists():
            return str(path)
        raise Unavailable("not installed (make bench-peers)")
    found = find(program)
    if found is None:
        raise Unavailable("not installed (make bench-peers as root)")
    return found


def _said(*command: str) -> Callable[[], str]:
    """The first line that a program prints about its version."""

    def ask() -> str:
        program = [_need(command[0]), *command[1:]]
        ran = subprocess.run(  # noqa: S603
            program, capture_output=True, text=True, check=False, timeout=60
        )
        lines = (ran.stdout + ran.stderr).strip().splitlines()
        return lines[0].strip() if lines else "unknown"

    return ask


def _litellm_version() -> str:
    found = sorted(
        _INSTALLED.glob("litellm/lib/*/site-packages/litellm-[0-9]*.dist-info")
    )
    if not found:
        raise Unavailable("not installed (make bench-peers)")
    return found[-1].name.removesuffix(".dist-info")


def _apiproxy_version() -> str:
    import apiproxy

    return apiproxy.__version__


def _squidless(rig: Rig, upstream: int, name: str) -> Started:
    """Ours with the provider's own tunnels instead of Squid's, as if Squid cost nothing."""
    tunnels = f"http://127.0.0.1:{rig.tunnels}"
    return start_apiproxy(rig, upstream, name, HTTPS_PROXY=tunnels)


_NO_SOCKETS = "it carries no WebSocket to an endpoint of one's own"
_REFORMED = {"ws": _NO_SOCKETS, "deflate": _NO_SOCKETS}
_NODE = (
    "require('./.bench/portkey/node_modules/@portkey-ai/gateway/package.json').version"
)

SQUIDLESS = Contestant("apiproxy", "apiproxy", _apiproxy_version, _squidless)
"""Ours in the one row where Squid, on the rig's core, would be the limit and not we."""

DIRECT = Contestant("direct", "no proxy", lambda: "", _direct)
"""The provider itself: what the rig can do at all."""

CONTESTANTS = (
    Contestant("apiproxy", "apiproxy", _apiproxy_version, start_apiproxy, pings=60.0),
    Contestant("nginx", "nginx", _said("nginx", "-v"), _nginx),
    Contestant("haproxy", "HAProxy", _said("haproxy", "-v"), _haproxy),
    Contestant(
        "mitmproxy",
        "mitmproxy",
        _said(".bench/mitmproxy/bin/mitmdump", "--version"),
        _mitmproxy,
        slow=True,
    ),
    Contestant(
        "litellm",
        "LiteLLM",
        _litellm_version,
        _litellm,
        _REFORMED,
        slow=True,
        streams=10,
    ),
    Contestant(
        "portkey", "Portkey", _said("node", "-p", _NODE), _portkey, _REFORMED, slow=True
    ),
)
