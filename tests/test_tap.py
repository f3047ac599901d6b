"""The service as a process: what twistd starts, what it logs, how it exits."""

import contextlib
import ctypes
import json
import os
import queue
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.python import usage
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from apiproxy import tap
from apiproxy.config import (
    ConfigurationError,
    Origin,
    Settings,
    collect,
    read_settings,
)
from apiproxy.process import Process
from apiproxy.service import Proxy
from apiproxy.tap import Options, check_usable, makeService
from apiproxy.workers import beginning
from apiproxy.workers.front import Front
from apiproxy.workers.messages import Serve
from apiproxy.workers.place import EXIT_UNUSABLE
from apiproxy.workers.worker import Inherited
from tests.kit.tls import authority

KEY = "sk-process-key-0123456789abcdef"
PROVIDERS = ("openai", "anthropic", "copilot", "gemini", "opencode", "vertex")
SECONDS = 30.0
"""Longest wait for anything; generous, and nothing is decided by it."""


class Notified:
    """What a service manager hears."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(SECONDS)

    def next(self) -> str:
        return self.socket.recv(1000).decode()


class Service:
    """``twistd -n apiproxy`` on free ports.

    Attributes:
        lines: what it has logged and somebody has looked at.
    """

    def __init__(
        self, user: tuple[str, ...], *arguments: str, **variables: str
    ) -> None:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONWARNINGS": "ignore",
            "APIPROXY_VALIDATE_KEYS": "off",
            **{f"APIPROXY_{name.upper()}_PORT": "off" for name in PROVIDERS},
            "APIPROXY_OPENAI_PORT": "0",
            "OPENAI_API_KEY": KEY,
            "HTTPS_PROXY": "http://user:squid-password-123@127.0.0.1:9",
            **variables,
        }
        self.process = subprocess.Popen(
            [
                *user,
                sys.executable,
                "-c",
                "from twisted.scripts.twistd import run; run()",
                "-n",
                "--pidfile=",
                "apiproxy",
                *arguments,
            ],
            env={name: value for name, value in environ.items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: list[dict[str, Any]] = []
        self.raw = b""
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def log(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line of which this is true."""
        while True:
            line = self._queue.get(timeout=SECONDS)
            if line is None:
                raise AssertionError(f"the log ended: {self.lines}")
            self.raw += line
            found = cast(dict[str, Any], json.loads(line))
            self.lines.append(found)
            if wanted(found):
                return found

    def port(self) -> int:
        """Where it listens."""
        line = self.log(lambda line: line["event"] == "listening")
        return int(line["address"].rpartition(":")[2])

    def up(self) -> int:
        """Wait until it serves; its port."""
        port = self.port()
        self.log(lambda line: line.get("message") == "apiproxy is up")
        return port

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it said to a person."""
        assert self.process.stderr is not None
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        while (line := self._queue.get()) is not None:
            self.raw += line
            self.lines.append(json.loads(line))
        return code, self.process.stderr.read().decode()

    def stop(self) -> None:
        """Whatever state it is in."""
        if self.running:
            self.process.kill()
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def ask(port: int, request: bytes) -> bytes:
    """What comes back for a request that closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UPLOAD = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Length: 200\r\n\r\n" + b"x" * 200
)


class ServiceCase(SynchronousTestCase):
    """Services end with the test.

    Attributes:
        user: what makes a command run as another user.
    """

    user: tuple[str, ...] = ()

    def start(self, *arguments: str, **variables: str) -> Service:
        service = Service(self.user, *arguments, **variables)
        self.addCleanup(service.stop)
        return service

    def path(self) -> str:
        """A path that nobody has, short enough for a socket wherever the checkout is."""
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-", dir="/tmp")
        self.addCleanup(folder.cleanup)
        return f"{folder.name}/path"

    def ready(self, *arguments: str, **variables: str) -> tuple[Service, int, Notified]:
        """A service that has told its manager that it serves, and its port."""
        notified = Notified(path := self.path())
        self.addCleanup(notified.socket.close)
        service = self.start(*arguments, NOTIFY_SOCKET=path, **variables)
        port = service.up()
        self.assertEqual(notified.next(), "READY=1")
        return service, port, notified

    def config(self, text: str) -> Path:
        """A configuration file."""
        config = Path(os.path.abspath(self.mktemp()))
        config.write_text(text)
        return config

    def reread(self, service: Service, notified: Notified) -> None:
        """It reads its settings again, and tells so its manager and the log."""
        service.signal(signal.SIGHUP)
        service.log(lambda line: line.get("message") == "settings are in force")
        self.assertTrue(notified.next().startswith("RELOADING=1\nMONOTONIC_USEC="))
        self.assertEqual(notified.next(), "READY=1")


def read_usable(path: str | None, environ: dict[str, str]) -> Settings:
    """Settings that can be put in force here."""
    settings = read_settings(path, environ)
    check_usable(settings)
    return settings


class LifeTests(ServiceCase):
    """From start to end."""

    def test_a_life_in_lines(self) -> None:
        """It serves, tells the service manager, stops on SIGTERM with 0; all is JSON."""
        service, port, notified = self.ready(APIPROXY_LOG_LEVEL="debug")
        self.assertIn(b"HTTP/1.1 200 OK", ask(port, GET % b"/health"))
        # Nobody listens where the egress proxy should be.
        answer = ask(port, GET % b"/v1/models?key=AGENT")
        self.assertIn(b"x-apiproxy-error: egress_unreachable", answer)
        line = service.log(lambda line: line["event"] == "request_complete")
        self.assertEqual((line["status"], line["path"]), (502, "/v1/models"))
        ask(port, b"nonsense\r\n\r\n")
        service.log(lambda line: line["event"] == "request_refused")
        service.signal(signal.SIGTERM)
        self.assertEqual(notified.next(), "STOPPING=1")
        code, said = service.ended()
        self.assertEqual((code, said), (0, ""))
        self.assertEqual(service.lines[-1]["message"], "all exchanges ended")
        for line in service.lines:
            self.assertLessEqual({"timestamp", "level", "event"}, line.keys())
        for secret in (KEY, "squid-password-123", "AGENT"):
            self.assertNotIn(secret.encode(), service.raw)

    def test_sigint_stops_it_too(self) -> None:
        """As Ctrl-C does."""
        service = self.start()
        service.up()
        service.signal(signal.SIGINT)
        self.assertEqual(service.ended(), (0, ""))

    def kept_busy(self) -> Service:
        """A service that would stop only after a long grace: an exchange is live."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        port = silent.getsockname()[1]
        service = self.start(
            HTTPS_PROXY=f"http://127.0.0.1:{port}", APIPROXY_GRACE_SECONDS="600"
        )
        agent = socket.create_connection(("127.0.0.1", service.up()), timeout=SECONDS)
        self.addCleanup(agent.close)
        agent.sendall(GET % b"/v1/models")
        tunnel, _ = silent.accept()
        self.addCleanup(tunnel.close)
        return service

    def test_a_second_signal_means_at_once(self) -> None:
        """A live exchange would have kept it for its whole grace."""
        service = self.kept_busy()
        service.signal(signal.SIGTERM)
        service.log(lambda line: line["event"] == "shutdown")
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        code, said = service.ended()
        self.assertEqual((code, said), (0, ""))
        self.assertLess(time.monotonic() - began, SECONDS)
        self.assertEqual(service.lines[-1]["message"], "live exchanges were aborted")

    def test_two_signals_at_once_are_two(self) -> None:
        """As when a terminal and a supervisor both end it: the grace is not waited for."""
        service = self.kept_busy()
        service.signal(signal.SIGSTOP)  # so that it finds both when it goes on
        service.signal(signal.SIGTERM)
        service.signal(signal.SIGINT)
        service.signal(signal.SIGCONT)
        self.assertEqual(service.ended(), (0, ""))
        self.assertEqual(service.lines[-1]["message"], "live exchanges were aborted")


class PrivacyTests(ServiceCase):
    """What a process tells those beside it."""

    def test_its_own_environment_has_no_keys(self) -> None:
        """What it started would inherit none, and root reads none; other variables stay."""
        code = (
            "import ctypes, pathlib, subprocess, sys;"
            "from twisted.scripts.twistd import ServerOptions;"
            "ServerOptions().parseOptions(['-n', 'apiproxy']);"
            "subprocess.run(['env'], check=True);"
            "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0);"  # /proc/self belongs to us again
            "own = pathlib.Path('/proc/self/environ');"
            "sys.stdout.buffer.write(own.read_bytes() if own.exists() else b'')"
        )
        secrets = {
            "OPENAI_API_KEY": "hunter2-a",
            "HTTPS_PROXY": "http://user:hunter2-b@127.0.0.1:9",
            "COPILOT_API_TARGET": "gateway.example",
            "COPILOT_PROVIDER_API_KEY": "hunter2-c",
            "AWF_BYOK_EXTRA_HEADERS": '{"x-tenant-key": "hunter2-d"}',
        }
        environ = {"PATH": os.environ["PATH"], "TZ": "UTC", **secrets}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, check=True
        )
        self.assertNotIn(b"hunter2", done.stdout)
        self.assertIn(b"\nTZ=UTC\n", b"\n" + done.stdout)

    def test_it_leaves_no_core(self) -> None:
        """And may open as many files as the system lets it."""
        service = self.start()
        service.up()
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
        figures = {line[:26].strip(): line[26:].split() for line in limits.splitlines()}
        self.assertEqual(figures["Max core file size"][:2], ["0", "0"])
        soft, hard, *_ = figures["Max open files"]
        self.assertEqual(soft, hard)

    def test_another_process_of_its_user_cannot_read_its_environment(self) -> None:
        """Where the rest of what it was started with still stands; root could."""
        self.user = user = somebody()
        service = self.start()
        service.up()
        other = subprocess.Popen(
            [*user, "sleep", "600"], env={"PATH": os.environ["PATH"], "KEY": KEY}
        )
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)

        def read(pid: int) -> tuple[bool, bytes]:
            command = [*user, "cat", f"/proc/{pid}/environ"]
            done = subprocess.run(command, capture_output=True, check=False)
            return done.returncode == 0, done.stdout

        self.wait_until(
            lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n"
        )
        readable, text = read(other.pid)
        if not readable or KEY.encode() not in text:
            raise SkipTest("here no process can read another's environment")
        self.assertEqual(read(service.process.pid), (False, b""))
        self.assertTrue(service.running)

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Until it is, within bounds."""
        end = time.monotonic() + SECONDS
        while not true() and time.monotonic() < end:
            time.sleep(0.01)


def somebody() -> tuple[str, ...]:
    """What to put before a command so that it runs as a user who is not root."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        raise SkipTest(
            "root can read everything, and there is no setpriv to be another"
        )
    # Python may be installed where only root can look.
    look = "+dac_read_search"
    return (
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *(f"--inh-caps={look}", f"--ambient-caps={look}"),
    )


class ReloadTests(ServiceCase):
    """SIGHUP."""

    def test_settings_are_read_again(self) -> None:
        """From the file; the service manager is told; a mistake changes nothing."""
        config = self.config("[limits]\nbody = 100\n")
        service, port, notified = self.ready("--config", str(config))
        self.assertIn(b"HTTP/1.1 413 ", ask(port, UPLOAD))
        config.write_text("[limits]\nbody = 1000\n")
        self.reread(service, notified)
        self.assertIn(b"HTTP/1.1 502 ", ask(port, UPLOAD))
        config.write_text("[limits]\nbody = -1\n")
        service.signal(signal.SIGHUP)
        line = service.log(lambda line: line["event"] == "reload")
        self.assertEqual(line["level"], "error")
        self.assertIn("limits.body", line["message"])
        self.assertIn(b"HTTP/1.1 502 ", ask(port, UPLOAD))

    def test_a_key_in_a_file_is_rotated(self) -> None:
        """Without a signal, for which the configuration file and pipes wait."""
        config = Path(os.path.abspath(self.mktemp()))
        key = config.with_name("key")
        config.write_text(f'[providers.gemini]\nkey_file = "{key}"\n')
        key.write_text("the-first-key")
        other = key.with_name("other")
        other.write_text("another key")
        service = self.start(
            "--config",
            str(config),
            APIPROXY_WATCH_SECONDS="0.1",
            ANTHROPIC_API_KEY_FILE=str(other),
        )
        service.up()
        other.unlink()
        os.mkfifo(other)  # to open it would stall everybody
        config.write_text("nonsense")
        key.write_text("a key\0 that cannot be sent")
        line = service.log(lambda line: line["event"] == "reload")
        self.assertEqual(line["level"], "error")
        self.assertIn("providers.gemini.key_file", line["message"])
        key.write_text("the-second-key")
        service.log(
            lambda line: (
                line.get("message") == "a file that settings were read from has changed"
            )
        )
        service.log(lambda line: line.get("message") == "settings are in force")


class ExitTests(ServiceCase):
    """What keeps it from starting."""

    def test_all_that_is_wrong_is_said_at_once(self) -> None:
        """Exit code 1, a line for each problem, no secret in any."""
        service = self.start(
            APIPROXY_OPENAI_PORT="99999",
            APIPROXY_MAX_BODY_BYTES="lots",
            HTTPS_PROXY="ftp://user:squid-password-123@x",
        )
        code, said = service.ended()
        self.assertEqual(code, 1)
        names = ("APIPROXY_OPENAI_PORT", "APIPROXY_MAX_BODY_BYTES", "HTTPS_PROXY")
        lines = said.splitlines()
        self.assertEqual(len(lines), 3, said)
        for name in names:
            self.assertEqual(
                sum(f"apiproxy: {name}" in line for line in lines), 1, said
            )
        self.assertNotIn("squid-password-123", said)

    def test_a_file_that_cannot_be_read(self) -> None:
        """By option or by variable; the path is said."""
        for arguments, variables in (
            (("--config", "/nowhere.toml"), {}),
            ((), {"APIPROXY_CONFIG": "/nowhere.toml"}),
        ):
            code, said = self.start(*arguments, **variables).ended()
            self.assertEqual(code, 1)
            self.assertIn("/nowhere.toml cannot be read", said)

    def test_authorities_that_are_none(self) -> None:
        """Exit code 1 and the variable, not a traceback."""
        path = Path(os.path.abspath(self.mktemp()))
        path.write_text("no certificate")
        for name in ("APIPROXY_CA_FILE", "SSL_CERT_FILE"):
            code, said = self.start(**{name: str(path)}).ended()
            self.assertEqual(code, 1)
            self.assertEqual(len(said.splitlines()), 1, said)
            self.assertTrue(said.startswith(f"apiproxy: {name}"), said)

    def test_a_port_that_is_taken(self) -> None:
        """Exit code 2, whose port it was, and no traceback."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            service = self.start(APIPROXY_OPENAI_PORT=str(port))
            code, said = service.ended()
        self.assertEqual(code, 2)
        self.assertIn("apiproxy: openai: ", said)
        self.assertIn(str(port), said)
        self.assertNotIn("Traceback", said)
        line = service.lines[-1]
        self.assertEqual((line["level"], line["event"]), ("error", "startup"))
        self.assertEqual(line["message"], said.removeprefix("apiproxy: ").strip())

    def test_a_socket_left_behind_is_no_hindrance(self) -> None:
        """After a crash the service starts again on the same Unix socket."""
        path = self.path()
        for _ in range(2):
            service = self.start(
                APIPROXY_OPENAI_SOCKET=path, APIPROXY_OPENAI_PORT="off"
            )
            service.log(lambda line: line.get("message") == "apiproxy is up")
            with socket.socket(socket.AF_UNIX) as agent:
                agent.settimeout(SECONDS)
                agent.connect(path)
                agent.sendall(GET % b"/health")
                self.assertIn(b"HTTP/1.1 200 OK", agent.recv(65536))
            service.signal(signal.SIGKILL)
            service.ended()
        self.assertTrue(os.path.exists(path))


class SettingsTests(SynchronousTestCase):
    """Where settings come from."""

    def test_the_option_beats_the_variable(self) -> None:
        """Which itself is no setting."""
        one, two = (Path(os.path.abspath(self.mktemp())) for _ in range(2))
        one.write_text("grace = 1\n")
        two.write_text("grace = 2\n")
        environ = {"APIPROXY_CONFIG": str(one)}
        self.assertEqual(read_usable(None, environ).grace, 1)
        self.assertEqual(read_usable(str(two), environ).grace, 2)
        self.assertEqual(environ, {"APIPROXY_CONFIG": str(one)})
        self.assertEqual(read_usable(None, {}).grace, 20)

    def test_authorities_are_looked_at(self) -> None:
        """A good file passes."""
        pem = str(authority().pem)
        self.assertEqual(read_usable(None, {"SSL_CERT_FILE": pem}).ca_files, (pem,))
        empty = Path(os.path.abspath(self.mktemp()))
        empty.write_text("")
        environ = {"APIPROXY_CA_FILE": str(empty)}
        error = self.assertRaises(ConfigurationError, read_usable, None, environ)
        self.assertTrue(error.problems[0].startswith("APIPROXY_CA_FILE"))

    def test_a_file_nobody_can_read(self) -> None:
        """It is a problem like any other."""
        error = self.assertRaises(ConfigurationError, read_usable, "/no/file", {})
        self.assertIn("/no/file cannot be read", error.problems[0])


class OpenFilesTests(SynchronousTestCase):
    """How many connections there can be."""

    def raised(self, soft: int, hard: int, *, refused: bool = False) -> list[Any]:
        """The limit that is set, if it is, and the warnings."""
        found: list[Any] = []

        def set_limit(_: int, limit: tuple[int, int]) -> None:
            if refused:
                raise ValueError("current limit exceeds maximum limit")
            found.append(limit)

        self.patch(resource, "getrlimit", lambda _: (soft, hard))
        self.patch(resource, "setrlimit", set_limit)
        settings = read_usable(
            None, {"APIPROXY_MAX_CONNECTIONS": "1000", "HTTPS_PROXY": "http://x"}
        )
        tap.open_all_files(settings)
        return [*found, *settings.warnings]

    def test_enough(self) -> None:
        """The soft limit is raised if need be, and nothing said."""
        self.assertEqual(self.raised(1024, 4096), [(4096, 4096)])
        self.assertEqual(self.raised(4096, 4096), [])
        no_limit = resource.RLIM_INFINITY
        self.assertEqual(self.raised(1024, no_limit), [(no_limit, no_limit)])
        self.assertEqual(self.raised(no_limit, no_limit), [])

    def test_too_few(self) -> None:
        """One warning says how many there are, and how many the settings may need."""
        for found in (
            self.raised(1024, 2000)[1:],
            self.raised(2000, 2000),
            self.raised(2000, 99_999, refused=True),
        ):
            (warning,) = found
            self.assertIn("only 2000 files", warning)
            self.assertIn("APIPROXY_MAX_CONNECTIONS may need 2256", warning)

    def test_systems_that_are_not_linux(self) -> None:
        """They have other ways to forbid a look into the process."""
        self.patch(sys, "platform", "darwin")
        self.patch(ctypes, "CDLL", None)
        tap.forbid_dumping()


class _Twistd(usage.Options):
    """Stands for twistd's own options."""

    optFlags = (("nodaemon", "n", ""),)
    optParameters = (("logfile", "l", None, ""),)

    @property
    def subCommands(self) -> list[Any]:
        return [["apiproxy", None, Options, ""]]


class OptionsTests(SynchronousTestCase):
    """What happens in the process before anything is served; signals are left alone."""

    def setUp(self) -> None:
        for name in list(os.environ):
            if name.startswith("APIPROXY_") or name.lower().endswith("_proxy"):
                self.patch_environ(name, None)
        for name in PROVIDERS:
            self.patch_environ(f"APIPROXY_{name.upper()}_PORT", "off")
        self.patch_environ("APIPROXY_OPENAI_PORT", "0")
        self.patch_environ("APIPROXY_VALIDATE_KEYS", "off")
        self.patch_environ("OPENAI_API_KEY", KEY)
        self.limits: list[Any] = []
        self.patch(resource, "setrlimit", lambda *limit: self.limits.append(limit))
        self.patch(resource, "getrlimit", lambda _: (1024, 100_000))
        self.patch(tap, "forbid_dumping", lambda: self.limits.append("no dump"))

    def patch_environ(self, name: str, value: str | None) -> None:
        """Set a variable for this test."""
        old = os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value

        def restore() -> None:
            os.environ.pop(name, None)
            if old is not None:
                os.environ[name] = old

        self.addCleanup(restore)

    def options(self, *arguments: str) -> Options:
        """As twistd reads them."""
        parent = _Twistd()
        parent.parseOptions([*arguments, "apiproxy"])
        found = parent.subOptions
        assert isinstance(found, Options)
        self.parent = parent
        return found

    def test_keys_leave_the_environment(self) -> None:
        """So that no child and no debugger finds them there; no core is left either."""
        options = self.options("-n")
        self.assertNotIn("OPENAI_API_KEY", os.environ)
        self.assertEqual(
            self.limits,
            [
                (resource.RLIMIT_NOFILE, (100_000, 100_000)),
                (resource.RLIMIT_CORE, (0, 0)),
                "no dump",
            ],
        )
        again = options.reread()
        self.assertEqual([s.reveal() for s in again.secrets][:1], [KEY.encode()])

    def test_log_lines_go_where_twistd_says(self) -> None:
        """Standard output in the foreground, else the log file."""
        path = os.path.abspath(self.mktemp())
        for arguments, expected in (
            (("-n",), 1),
            (("-n", "-l", "-"), 1),
            (("-n", "-l", path), path),
            (("-l", path), path),
        ):
            descriptor = tap._log_descriptor(self._parsed(*arguments))
            if expected == 1:
                self.assertEqual(descriptor, 1)
            else:
                os.close(descriptor)
                self.assertTrue(os.path.exists(str(expected)))
        self.assertEqual(tap._log_descriptor({}), 1)
        with contextlib.chdir(os.path.dirname(path)):
            os.close(tap._log_descriptor(self._parsed()))
            os.remove("twistd.log")

    def _parsed(self, *arguments: str) -> _Twistd:
        parent = _Twistd()
        parent["nodaemon"] = "-n" in arguments
        parent["logfile"] = arguments[-1] if "-l" in arguments else None
        return parent

    def test_settings_that_make_no_sense(self) -> None:
        """Exit code 1."""
        self.patch_environ("APIPROXY_OPENAI_PORT", "x")
        said: list[str] = []
        self.patch(tap, "say", said.append)
        stop = self.assertRaises(SystemExit, self.options, "-n")
        self.assertEqual(stop.code, 1)
        self.assertTrue(said[0].startswith("APIPROXY_OPENAI_PORT"))

    def test_one_process_or_the_front_of_several(self) -> None:
        """By ``APIPROXY_WORKERS``; the front needs no TLS and no WebSocket."""
        for workers, kind in (("1", Proxy), ("2", Front)):
            self.patch_environ("APIPROXY_WORKERS", workers)
            process = makeService(self.options("-n"))
            assert isinstance(process, Process)
            self.assertIsInstance(process.served, kind)
            self.assertIs(self.parent["fileLogObserverFactory"](None), EVENTS(process))

    def test_a_worker_without_a_front(self) -> None:
        """The option is not for people."""
        said: list[str] = []
        self.patch(tap, "say", said.append)

        def take(number: int) -> Inherited:
            raise OSError("Bad file descriptor")

        self.patch(Inherited, "take", take)
        stop = self.assertRaises(SystemExit, tap.inherit, 0)
        self.assertEqual(stop.code, 1)
        self.assertIn("APIPROXY_WORKERS", said[0])

    def as_worker(self, origin: Origin | None) -> Options:
        """Options of a worker that is told to serve by this."""
        inherited = cast(Any, SimpleNamespace(channel=None))
        self.patch(Inherited, "take", lambda number: inherited)
        serve = None if origin is None else Serve(origin, "/a/folder")
        self.patch(beginning, "ask", lambda line: serve)
        self.patch(tap, "end_with_parent", lambda: self.limits.append("ends with it"))
        options = Options()
        options.parent = cast(Any, {"nodaemon": 1})
        options.parseOptions(["--worker", "1"])
        return options

    def test_a_worker_serves_by_what_it_is_told(self) -> None:
        """It asks when nobody can look into it any more, and reads nothing itself."""
        os.environ["APIPROXY_GRACE_SECONDS"] = "nonsense"
        self.addCleanup(os.environ.pop, "APIPROXY_GRACE_SECONDS", None)
        origin = collect(None, {"APIPROXY_GRACE_SECONDS": "7"})[1]
        options = self.as_worker(origin)
        self.assertEqual(options["settings"].grace, 7)
        self.assertEqual(options["inherited"].ledger, "/a/folder")
        self.assertEqual(self.limits[1:3], ["no dump", "ends with it"])

    def test_a_worker_that_cannot_use_what_it_is_told(self) -> None:
        """It has an exit code of its own, so that the front does not try for ever."""
        said: list[str] = []
        self.patch(tap, "say", said.append)
        origin = Origin.of({"APIPROXY_GRACE_SECONDS": "x"}, None)
        stop = self.assertRaises(SystemExit, self.as_worker, origin)
        self.assertEqual((stop.code, len(said)), (EXIT_UNUSABLE, 1))

    def test_a_worker_that_is_not_wanted_any_more(self) -> None:
        """The service ended before it had begun."""
        stop = self.assertRaises(SystemExit, self.as_worker, None)
        self.assertEqual(stop.code, 0)

    def test_workers_elsewhere_than_on_linux(self) -> None:
        """They are refused like any other setting that makes no sense."""
        self.patch(sys, "platform", "darwin")
        environ = {"APIPROXY_WORKERS": "2"}
        error = self.assertRaises(ConfigurationError, read_usable, None, environ)
        self.assertTrue(error.problems[0].startswith("APIPROXY_WORKERS"))
        self.assertEqual(read_usable(None, {"APIPROXY_WORKERS": "1"}).workers, 1)


def EVENTS(process: Process) -> object:
    """The observer that a process gives twistd."""
    return process._observer


class WorkerCommandTests(SynchronousTestCase):
    """How a worker is started."""

    def test_it_says_which_worker(self) -> None:
        """And nothing of the settings, which the worker asks for."""
        command = tap.worker_command(3)
        self.assertEqual(command[0], sys.executable)
        self.assertEqual(command[-3:], ["apiproxy", "--worker", "3"])

    def test_it_imports_from_where_we_do(self) -> None:
        """Not from the working directory, unless we do."""
        for path, flag in ((["/lib"], True), ([""], False), ([os.getcwd()], False)):
            self.patch(sys, "path", path)
            self.assertEqual("-P" in tap.worker_command(0), flag)
