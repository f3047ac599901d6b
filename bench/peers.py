"""The contestants: apiproxy and those it is compared with, each started in one way.

Each is given the port of a TLS provider on 127.0.0.1 whose certificate it must verify, keeps
connections to it alive, and puts a credential in, with the features it has. Only apiproxy
goes through Squid; the others cannot, or not with reuse, and are spared it.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import field, frozen

from bench.processes import Running, Unavailable, free_ports, wait_listening
from bench.rig import HOST, Rig, find

_ROOT = Path(__file__).parent.parent
_INSTALLED = _ROOT / ".bench"
_PATIENCE = 90.0
_KEY = "sk-real-of-the-benchmark"

_NGINX = """\
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
{user}
events {{ worker_connections 16384; }}
http {{
  access_log {folder}/{name}.access.log; keepalive_requests 100000000;
  client_max_body_size 64m; client_body_buffer_size 64k;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  map $http_upgrade $connection_field {{ default upgrade; '' ''; }}
  upstream provider {{
    server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass https://provider; proxy_http_version 1.1; proxy_buffering off;
      proxy_request_buffering off; proxy_read_timeout 3600s; proxy_send_timeout 3600s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_field;
      proxy_set_header Host {host}; proxy_set_header Authorization "Bearer {key}";
      proxy_set_header X-Request-Id $request_id;
      proxy_ssl_verify on; proxy_ssl_verify_depth 2; proxy_ssl_name {host};
      proxy_ssl_server_name on; proxy_ssl_trusted_certificate {authority};
    }}
  }}
}}
"""

_HAPROXY = """\
global
  maxconn 16384
  nbthread 1
  log stderr format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend agents
  bind 127.0.0.1:{port} backlog 4096
  default_backend provider
backend provider
  http-reuse always
  http-request set-header Authorization "Bearer {key}"
  http-request set-header Host {host}
  server one 127.0.0.1:{upstream} ssl verify required ca-file {authority} sni str({host}) \
verifyhost {host} pool-max-conn 128 alpn http/1.1
"""

_MITMPROXY = '''\
def requestheaders(flow):
    flow.request.headers["authorization"] = "Bearer {key}"


def responseheaders(flow):
    kind = flow.response.headers.get("content-type", "")
    flow.response.stream = kind.startswith("text/event-stream")
'''

_LITELLM = """\
model_list:
  - model_name: "*"
    litellm_params: {{model: "openai/*", api_base: "https://{host}:{upstream}/v1", \
api_key: "{key}"}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""


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
    """

    name: str
    label: str
    version: Callable[[], str]
    start: Callable[[Rig, int, str], Started]
    cannot: Mapping[str, str] = field(factory=dict)


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


def _conf(rig: Rig, name: str, text: str, **values: object) -> Path:
    path = rig.stage.folder / name
    path.write_text(
        text.format(
            folder=rig.stage.folder, host=HOST, authority=rig.authority, key=_KEY, **values
        )
    )
    return path


def _apiproxy(rig: Rig, upstream: int, name: str) -> Started:
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
    }
    # The checkout's own, not whatever the folder it runs in may hold.
    twistd = Path(sys.executable).with_name("twistd")
    return _start(rig, name, [str(twistd), "-n", "--pidfile=", "apiproxy"], ports[0], env)


def _nginx(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    user = "user root;" if os.getuid() == 0 else ""
    conf = _conf(
        rig, f"{name}.conf", _NGINX, name=name, port=port, upstream=upstream, user=user
    )
    command = [_need("nginx"), "-c", str(conf), "-p", str(rig.stage.folder)]
    return _start(rig, name, command, port)


def _haproxy(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    conf = _conf(rig, f"{name}.cfg", _HAPROXY, port=port, upstream=upstream)
    return _start(rig, name, [_need("haproxy"), "-db", "-f", str(conf)], port)


def _mitmproxy(rig: Rig, upstream: int, name: str) -> Started:
    (port,) = free_ports(1)
    addon = _conf(rig, f"{name}.py", _MITMPROXY)
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
    conf = _conf(rig, f"{name}.yaml", _LITELLM, upstream=upstream)
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
    return _start(rig, name, command, port, env)


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
    found = sorted(_INSTALLED.glob("litellm/lib/*/site-packages/litellm-[0-9]*.dist-info"))
    if not found:
        raise Unavailable("not installed (make bench-peers)")
    return found[-1].name.removesuffix(".dist-info")


def _apiproxy_version() -> str:
    import apiproxy

    return apiproxy.__version__


_NO_SOCKETS = "it carries no WebSocket to an endpoint of one's own"
_REFORMED = {"ws": _NO_SOCKETS, "deflate": _NO_SOCKETS}
_NODE = "require('./.bench/portkey/node_modules/@portkey-ai/gateway/package.json').version"

DIRECT = Contestant("direct", "no proxy", lambda: "", _direct)
"""The provider itself: what the rig can do at all."""

CONTESTANTS = (
    Contestant("apiproxy", "apiproxy", _apiproxy_version, _apiproxy),
    Contestant("nginx", "nginx", _said("nginx", "-v"), _nginx),
    Contestant("haproxy", "HAProxy", _said("haproxy", "-v"), _haproxy),
    Contestant(
        "mitmproxy", "mitmproxy", _said(".bench/mitmproxy/bin/mitmdump", "--version"),
        _mitmproxy,
    ),
    Contestant("litellm", "LiteLLM", _litellm_version, _litellm, _REFORMED),
    Contestant(
        "portkey", "Portkey", _said("node", "-p", _NODE), _portkey, _REFORMED
    ),
)
