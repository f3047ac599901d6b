"""Canaries in every source of credentials are found nowhere, however much fails.

A few hundred failures are induced here. ``APIPROXY_FAILURES=10000`` in the environment of the
tests makes them so many.
"""

import os
import signal
import sys
import tempfile
import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory

from apiproxy.config import ConfigurationError
from apiproxy.core.exchange import Exchange
from tests.kit.agent import Agent
from tests.kit.connect import ConnectProxy
from tests.kit.line import IReactor
from tests.kit.running import Service
from tests.security.barrage import SWIFT, Barrage
from tests.security.stage import PitfallCase
from tests.squid.proxy import PROVIDERS, about, read_settings
from tests.squid.test_canary import CANARIES, spellings

FAILURES = int(os.environ.get("APIPROXY_FAILURES", "300"))
PLANTED = CANARIES | {
    "descriptor": "sk-Open/R5k+Vx=6@%13",
    "command": "sk-Tell/T9w+Zj=2@%57",
}
NEEDLES = sorted({each for secret in PLANTED.values() for each in spellings(secret)})
KEYS = ("environment", "file", "systemd", "toml", "byok", "extra", "session", "custom")


def found(text: bytes) -> list[bytes]:
    """The spellings of canaries in a text."""
    return [needle for needle in NEEDLES if needle in text]


class DescribedService(Service):
    """One that inherits a file as descriptor 9."""

    def __init__(self, reactor: IReactor, environ: dict[str, str], path: Path) -> None:
        super().__init__(reactor, environ)
        self._arguments[:0] = ["/bin/sh", "-c", 'exec "$@" 9< "$0"', str(path)]


class CanaryCase(PitfallCase):
    """A stage with a secret in every place that can hold one."""

    timeout = 3600

    async def planted(self) -> dict[str, str]:
        """Provider, egress proxy and files; the environment of an apiproxy between them."""
        await self.stage_provider()
        self.middle = await self.started(ConnectProxy(self.reactor))
        # Not trial's folder: the path of a Unix socket must be short.
        place = tempfile.TemporaryDirectory(prefix="apiproxy-keys-", dir="/tmp")
        self.addCleanup(place.cleanup)
        self.folder = folder = Path(place.name)
        for name, source in (
            ("anthropic", "file"),
            ("vertex", "toml"),
            ("GEMINI_API_KEY", "systemd"),
            ("groq", "descriptor"),
        ):
            (folder / name).write_text(PLANTED[source])
        told = f'{{"value": "{PLANTED["command"]}"}}'
        (folder / "tell").write_text(f"#!/bin/sh\necho '{told}'\n")
        (folder / "tell").chmod(0o700)
        (folder / "apiproxy.toml").write_text(self.toml())
        password = quote(PLANTED["password"], safe="")
        return (
            self.environ()
            | SWIFT
            | {
                "HTTPS_PROXY": self.middle.url.replace("//", f"//us%2Fer:{password}@"),
                "OPENAI_API_KEY": PLANTED["environment"],
                "ANTHROPIC_API_KEY": "",
                "ANTHROPIC_API_KEY_FILE": str(folder / "anthropic"),
                "GEMINI_API_KEY": "",
                "CREDENTIALS_DIRECTORY": str(folder),
                "GOOGLE_API_KEY": "",
                "COPILOT_GITHUB_TOKEN": "",
                "COPILOT_PROVIDER_API_KEY": PLANTED["byok"],
                "COPILOT_API_TARGET": f"localhost:{self.provider.port}",
                "AWF_BYOK_EXTRA_HEADERS": f'{{"x-tenant": "{PLANTED["extra"]}"}}',
                "AWF_PROVIDER_SESSION_ID": PLANTED["session"],
                "MISTRAL_KEY": PLANTED["custom"],
                "APIPROXY_USAGE_LOG_DIR": str(folder / "usage"),
            }
        )

    def toml(self) -> str:
        """The configuration file."""
        target = f"localhost:{self.provider.port}"
        custom = [
            f'[providers.{name}]\ntarget = "{target}"\nport = 0\n{line}\n'
            for name, line in (
                ("mistral", 'key_env = "MISTRAL_KEY"'),
                ("groq", 'key_env = "GROQ_KEY"'),
                ("xai", f'key_command = "{self.folder}/tell"'),
            )
        ]
        vertex = f'[providers.vertex]\nkey_file = "{self.folder}/vertex"\n'
        return "\n".join([vertex, *custom])

    def look(self, text: bytes) -> None:
        """See that there is nothing in it."""
        self.assertEqual(found(text), [], text[:200])

    def look_at_files(self) -> None:
        """The same for whatever was written for others to read."""
        for path in (self.folder / "usage").rglob("*"):
            self.look(path.read_bytes())

    async def barrage(self, ports: dict[str, int]) -> Barrage:
        """Strike until so many have failed."""
        known = {one.name: one for one in PROVIDERS}
        targets = [
            (known.get(name, PROVIDERS[0]), port) for name, port in ports.items()
        ]
        barrage = Barrage(self.reactor, self.provider, self.middle, targets, self.look)
        await self.started(barrage)

        def strikes() -> Iterator[Any]:
            while barrage.failed.total() < FAILURES:
                yield barrage.strike()

        await self.at_once(strikes(), 48)
        barrage.forget()
        return barrage

    def assert_all_happened(self, barrage: Barrage, sources: tuple[str, ...]) -> None:
        """See that it was worth it: failures of all kinds, and keys where they belong."""
        self.assertGreaterEqual(barrage.failed.total(), FAILURES)
        self.assertGreater(len(barrage.failed), 20, barrage.failed)
        arrived = b"\n".join(barrage.arrived)
        for source in sources:
            self.assertIn(PLANTED[source].encode(), arrived, source)
        self.assertNotEqual(found(arrived), [])
        user = f"us/er:{PLANTED['password']}".encode()
        self.assertIn(b64encode(user), arrived)


class ProcessTests(CanaryCase):
    """A process, as it is run, at the level that says most."""

    async def control(self, method: bytes, path: bytes, body: bytes = b"") -> int:
        """A request on the control socket; its answer is looked at."""
        agent = Agent(self.reactor)
        endpoint = UNIXClientEndpoint(self.reactor, str(self.folder / "control"))
        await endpoint.connect(Factory.forProtocol(lambda: agent))
        agent.ask(method, path, body=body)
        response = await agent.response()
        self.look(response.head + response.body)
        agent.end("reset")
        await agent.gone()
        return response.status

    async def show_all(self, service: Service) -> None:
        """All that tells of itself."""
        for path in (b"/health", b"/reflect", b"/metrics"):
            for accept in (b"*/*", b"text/plain"):
                agent = await Agent.connect(self.reactor, service.port("openai"))
                agent.ask(b"GET", path, [(b"Accept", accept)])
                response = await agent.response()
                self.look(response.head + response.body)
                agent.end("reset")
                await agent.gone()
        for path in (b"/state", b"/budget", b"/nothing"):
            await self.control(b"GET", path)
        assert service._process is not None
        for name in ("environ", "cmdline", "status"):
            self.look_if_allowed(Path(f"/proc/{service._process.pid}/{name}"))

    def look_if_allowed(self, path: Path) -> None:
        """See that there is nothing in a file that only root may read."""
        try:
            self.look(path.read_bytes())
        except PermissionError:
            return

    async def reload_nonsense(self) -> None:
        """Settings that make no sense, with secrets where they do not belong."""
        config = self.folder / "apiproxy.toml"
        for text in nonsense(self.toml(), self.folder):
            config.write_text(text)
            with about(text):
                self.assertEqual(await self.control(b"POST", b"/reload"), 400)
        config.write_text(self.toml())
        for name in ("anthropic", "vertex"):
            good = (self.folder / name).read_text()
            for bad in (good + "\n\x01" + good, good + "\x80", good[:9] + "\n" + good):
                (self.folder / name).write_text(bad, "latin-1")
                self.assertEqual(await self.control(b"POST", b"/reload"), 400)
            (self.folder / name).write_text(good)
        self.assertEqual(await self.control(b"POST", b"/reload"), 200)

    async def test_nothing_is_found(self) -> None:
        """In no answer, no line, no figure, no file; not even where it crashes."""
        environ = await self.planted()
        environ["APIPROXY_CONFIG"] = str(self.folder / "apiproxy.toml")
        environ["APIPROXY_CONTROL_SOCKET"] = str(self.folder / "control")
        environ["GROQ_KEY_FD"] = "9"
        environ["PYTHONFAULTHANDLER"] = "1"
        given = {name: value for name, value in environ.items() if value}
        service = await self.started(
            DescribedService(self.reactor, given, self.folder / "groq")
        )
        names = [*(one.name for one in PROVIDERS), "mistral", "groq", "xai"]
        ports = {name: service.port(name) for name in names}
        barrage = await self.barrage(ports)
        await self.reload_nonsense()
        await self.show_all(service)
        assert service._process is not None and service._process.pid is not None
        os.kill(service._process.pid, signal.SIGABRT)
        self.assertEqual(await service.ended(), -6)
        self.assertIn(b"Fatal Python error", service.err)
        self.look(bytes(service.out))
        self.look(bytes(service.err))
        self.look_at_files()
        self.assertGreater(len(service.lines), FAILURES / 3)
        self.assert_all_happened(barrage, (*KEYS, "descriptor", "command"))
        if FAILURES > 1000:
            sys.stderr.write(f"\n{barrage.failed.total()} failures: {barrage.failed}\n")


class ChainTests(CanaryCase):
    """The same in this process, where errors can be looked into, and no line is redacted."""

    async def test_nothing_is_found_in_the_first_place(self) -> None:
        """Neither in a line, nor in an error, nor in what caused it."""
        environ = await self.planted()
        environ["GOOGLE_API_KEY"] = PLANTED["toml"]
        kinds: Counter[str] = Counter()
        close = Exchange.close

        def closing(exchange: Exchange, error: Any, *rest: Any) -> bool:
            for each in chain(error):
                kinds[type(each).__name__] += 1
                text = f"{each!r} {each} {each.args} {getattr(each, 'details', '')}"
                self.look(text.encode("utf-8", "replace"))
            self.look(
                "".join(traceback.format_exception(error)).encode() if error else b""
            )
            return close(exchange, error, *rest)

        self.patch(Exchange, "close", closing)
        toml = self.toml().replace("groq", "unused")
        await self.stage_proxy(environ, toml=toml.encode(), tick=0.05, redacting=False)
        names = [*(one.name for one in PROVIDERS), "mistral"]
        barrage = await self.barrage({name: self.proxy.port(name) for name in names})
        for line in self.proxy.raw:
            self.look(line)
        self.look_at_files()
        self.assertGreater(kinds.total(), FAILURES / 3)
        self.assertGreater(len(kinds), 12, kinds)
        sources = ("environment", "file", "systemd", "toml", "byok", "extra", "session")
        self.assert_all_happened(barrage, (*sources, "custom"))

    async def test_settings_that_make_no_sense(self) -> None:
        """Every mistake is told without the value that it is about, where that is a secret."""
        environ = await self.planted()
        for text in nonsense(self.toml(), self.folder):
            with about(text):
                self.refused(environ, text)
        spoiled = (
            "{}\x01",
            "{}\u00e9",
            "{} {}\r\nX: y",
            "{}\u2028",
            "[{}",
            '{{"x-a": "{}\\n"}}',
            '{{"x y": "{}"}}',
            '{{"host": "{}"}}',
            '{{"x": ["{}"]}}',
            "http://u:{}@",
            "http://u:{}@[::1",
            "ftp://u:{}@h:1",
            "http://u:{}@h:99999",
            "{}@:{}",
        )
        for name, value in environ.items():
            if any(
                canary in value or quote(canary, safe="") in value
                for canary in PLANTED.values()
            ):
                for shape in spoiled:
                    bad = shape.format(PLANTED["custom"], PLANTED["custom"])
                    with about((name, bad)):
                        self.refused(environ | {name: bad}, self.toml(), must=False)

    def refused(self, environ: dict[str, str], toml: str, *, must: bool = True) -> None:
        """Read settings; what is said of them is looked at."""
        given = {name: value for name, value in environ.items() if value}
        try:
            settings = read_settings(given, toml.encode())
        except ConfigurationError as error:
            for each in chain(error):
                self.look(f"{each!r} {each} {each.args}".encode("utf-8", "replace"))
            self.look("".join(traceback.format_exception(error)).encode())
        else:
            self.look(f"{settings!r} {settings.warnings}".encode())
            self.assertFalse(must)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and all that led to it."""
    waiting = [error]
    seen: list[BaseException] = []
    while waiting:
        one = waiting.pop()
        if one is not None and not any(one is each for each in seen):
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
            yield one


def nonsense(toml: str, folder: Path) -> Iterator[str]:
    """Configuration files that are refused."""
    key = PLANTED["custom"]
    yield toml + "["
    yield toml + f'\n[providers.openai]\nkey = "{key}"\n'
    yield toml + f'\n[providers.openai]\nkey_file = "{folder}/none"\n'.replace(
        "openai", "other"
    )
    yield toml + f'\n[egress]\nproxy = "http://u:{quote(key, safe="")}@squid:3128"\n'
    yield toml + f'\n[limits]\nhead = "{key}"\n'
    yield toml + f"\nx = {key}\n"
