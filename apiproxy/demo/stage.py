"""Everything the demonstration needs, built up and taken down: provider, proxy, apiproxy."""

import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Protocol, cast

import msgspec
from twisted.internet.address import IPv4Address

from apiproxy.config import Settings
from apiproxy.core.values import Secret
from apiproxy.demo.authority import issue
from apiproxy.demo.provider import DemoProvider
from apiproxy.demo.screen import DemoFailed
from apiproxy.demo.squid import Squid, SquidBroken, find_squid
from apiproxy.demo.standin import StandIn
from apiproxy.listening import PortTaken
from apiproxy.providers.table import BUILT_IN
from apiproxy.service import Proxy
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.reactor import Reactor

_ATTEMPTS = 3

HOST = "api.openai.com"
"""The name by which apiproxy asks for the provider; it never leaves this machine."""


class EgressProxy(Protocol):
    """Squid, or what stands in for it."""

    name: str
    what: str
    url: str

    async def start(self) -> None:
        """Take connections."""

    async def stop(self) -> None:
        """Take none, and be gone."""

    def heard(self) -> list[str]:
        """The CONNECT requests so far."""

    def logged(self) -> list[str]:
        """The tunnels that have ended."""


class Stage:
    """The demonstration's house.

    Attributes:
        provider: the provider of models.
        proxy: the way to it.
        service: apiproxy itself.
        ports: where apiproxy listens, by provider.
        records: its log lines so far.
        on_line: told of each of them.
        remarks: what did not go as usual, for the person who looks.
    """

    provider: DemoProvider
    proxy: EgressProxy
    service: Proxy

    def __init__(self, reactor: Reactor) -> None:
        self.ports: dict[str, int] = {}
        self.records: list[dict[str, object]] = []
        self.on_line: Callable[[bytes], None] = lambda line: None
        self.remarks: list[str] = []
        self.log = LineLog(self._keep, level="info", now=time)
        self._reactor = reactor
        self._folder = Path(tempfile.mkdtemp(prefix="apiproxy-demo-"))
        self._started: list[DemoProvider | EgressProxy] = []

    def _keep(self, line: bytes) -> None:
        self.records.append(msgspec.json.decode(line))
        self.on_line(line)

    async def build(self, *, stand_in: bool) -> None:
        """Start it all.

        Args:
            stand_in: do without Squid even if there is one.

        Raises:
            DemoFailed: a part does not start.
        """
        key = Secret(b"sk-demo-" + secrets.token_hex(16).encode())
        issued = issue(HOST, datetime.now(UTC))
        self.provider = DemoProvider(self._reactor, key, issued.identity)
        self._started.append(self.provider)
        self.provider.start()
        self.proxy = await self._proxy(stand_in)
        authority = self._folder / "authority.pem"
        authority.write_bytes(issued.authority)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._serve(self._environment(key, authority))
            except PortTaken as error:  # by somebody who came after our look
                if attempt == _ATTEMPTS:
                    raise DemoFailed(
                        f"there is no port to listen on: {error}"
                    ) from None
                await self.service.stopService()
            else:
                return

    @property
    def authority(self) -> str:
        """What apiproxy asks its proxy for."""
        return f"{HOST}:{self.provider.port}"

    async def _proxy(self, stand_in: bool) -> EgressProxy:
        if stand_in:
            return await self._begun(self._stand_in("as you wished"))
        program = find_squid()
        if program is None:
            return await self._begun(self._stand_in("none is installed"))
        folder = Path(tempfile.mkdtemp(prefix="squid-", dir=self._folder))
        self._folder.chmod(0o711)  # so that Squid, another user, gets to its own
        squid = Squid(self._reactor, program, folder, self.authority)
        try:
            return await self._begun(squid)
        except SquidBroken as broken:
            self.remarks.append(f"{program} does not start here: {broken}")
            return await self._begun(self._stand_in("it does not start"))

    def _stand_in(self, instead: str) -> StandIn:
        return StandIn(self._reactor, self.authority, self.provider.port, instead)

    async def _begun(self, proxy: EgressProxy) -> EgressProxy:
        self._started.append(proxy)
        await proxy.start()
        return proxy

    def _environment(self, key: Secret, authority: Path) -> dict[str, str]:
        ports = {one.name: one.port for one in BUILT_IN if one.port is not None}
        taken = [name for name, port in ports.items() if not _is_free(port)]
        if taken:
            shown = ", ".join(str(ports[name]) for name in taken)
            remark = f"in use by others, so free ports instead of: {shown}"
            self.remarks = [*(r for r in self.remarks if "in use" not in r), remark]
        return {
            "OPENAI_API_KEY": key.reveal().decode("ascii"),
            "OPENAI_API_TARGET": self.authority,
            "HTTPS_PROXY": self.proxy.url,
            "APIPROXY_REQUIRE_PROXY": "1",
            "APIPROXY_CA_FILE": str(authority),
            "APIPROXY_GRACE_SECONDS": "1",
            **{f"APIPROXY_{name.upper()}_PORT": "0" for name in taken},
        }

    def _serve(self, environ: dict[str, str]) -> None:
        settings = Settings.read(
            environ,
            None,
            lambda path: Path(path).read_bytes(),
            lambda: secrets.token_hex(8),
        )
        self.service = Proxy(settings, self._reactor, self.log)
        self.service.privilegedStartService()
        self.service.startService()
        for provider, port in zip(settings.providers, self.service.ports, strict=True):
            self.ports[provider.name] = cast(IPv4Address, port.getHost()).port

    async def clear(self) -> None:
        """Stop it all, and leave nothing behind."""
        if hasattr(self, "service"):
            await self.service.stopService()
        for part in reversed(self._started):
            await part.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True
