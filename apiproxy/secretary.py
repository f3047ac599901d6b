"""The secrets that programs give, fetched as long as the service lives."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from random import SystemRandom
from typing import cast

from apiproxy.config import Settings
from apiproxy.core.values import Secret
from apiproxy.credentials.command import CommandSource, ICommandReactor
from apiproxy.providers.base import Credential, Provider
from apiproxy.telemetry.lines import LineLog


class Secretary:
    """Starts the programs that settings name, and says what comes of them.

    Attributes:
        sources: those that are asked.
    """

    def __init__(
        self, log: LineLog, reactor: object, redact: Callable[[list[Secret]], None]
    ) -> None:
        """Ask nobody yet.

        Args:
            log: told of what comes of it.
            reactor: starts programs.
            redact: keeps all secrets there are out of whatever is written.
        """
        self.sources: tuple[CommandSource, ...] = ()
        self._log = log
        self._reactor = reactor
        self._redact = redact
        self._secrets: Callable[[], None] = lambda: None

    def serve(self, settings: Settings) -> None:
        """Ask the programs of these settings from now on, and no others."""
        before = self.sources
        self.sources = tuple(sources(settings.providers))
        self._secrets = lambda: self._redact(settings.secrets)
        for source in self.sources:
            if any(one is source for one in before):
                continue
            same = (one for one in before if one.origin == source.origin)
            source.start(
                cast(ICommandReactor, self._reactor),
                self,
                now=time.time,
                chance=SystemRandom().random,
                earlier=next(same, None),
            )
        for source in before:
            if not any(one is source for one in self.sources):
                source.stop()

    def stop(self) -> None:
        """Ask nobody any more."""
        for source in self.sources:
            source.stop()
        self.sources = ()

    def fetched(self, source: CommandSource) -> None:
        """There is a new secret."""
        self._secrets()
        self._log.log("info", "credential_fetched", setting=source.origin)

    def failed(self, source: CommandSource, reason: str) -> None:
        """A program gave none."""
        self._log.log(
            "error",
            "credential_failed",
            setting=source.origin,
            program=os.path.basename(source.command[0]),
            message=reason,
            usable=source.current() is not None,
        )


def sources(providers: Iterable[Provider]) -> Iterator[CommandSource]:
    """The sources among the credentials that ask a program, each once."""
    seen: list[CommandSource] = []
    for provider in providers:
        for credential in (
            provider.credential,
            getattr(provider, "models_credential", None),
        ):
            source = credential.source if isinstance(credential, Credential) else None
            if isinstance(source, CommandSource) and source not in seen:
                seen.append(source)
                yield source
