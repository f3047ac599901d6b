"""Whether providers take their keys, found out at start.

It never stands in the way: requests are served from the first moment. What comes out is
logged and shown by ``/health``; only ``strict`` ends the process when a key is refused.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.internet.error import ConnectingCancelledError

from apiproxy.core.errors import EgressDenied, ProxyError
from apiproxy.providers.base import Probe, Provider
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.failures import translate_dial

_NOT_ASKED = "only the providers' own hosts are asked, each for one listener"


class Prober(Protocol):
    """Sends providers their probes (``wire.prober``)."""

    def ask(self, provider: Provider, probe: Probe) -> Deferred[int]:
        """The status of the answer to a provider's probe."""


class KeyCheck:
    """Asks each configured provider once.

    Attributes:
        complete: whether all have been asked.
        results: ``status`` and ``message`` by provider name.
    """

    def __init__(self, log: LineLog, prober: Prober, tunnelled: bool) -> None:
        self.complete = False
        self.results: dict[str, dict[str, str]] = {}
        self._log = log
        self._prober = prober
        self._tunnelled = tunnelled
        self._story: Deferred[None] | None = None
        self._stopped = False

    def start(
        self, providers: Sequence[Provider], rejected: Callable[[], None]
    ) -> Deferred[None]:
        """Ask them, all at once.

        Args:
            providers: those that listen; who has no key is left out.
            rejected: called at the end if a key was refused.
        """
        self._story = Deferred.fromCoroutine(self._check_all(providers, rejected))
        return self._story

    def stop(self) -> None:
        """Ask no more, and say nothing of what was not answered."""
        self._stopped = True
        if self._story is not None:
            self._story.cancel()

    async def _check_all(
        self, providers: Sequence[Provider], rejected: Callable[[], None]
    ) -> None:
        configured = [one for one in providers if one.not_configured() is None]
        stories = [Deferred.fromCoroutine(self._check(one)) for one in configured]
        try:
            # Gathered, because to cancel that is to cancel each of them.
            await gatherResults(stories, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        self.complete = True
        if any(one["status"] == "auth_rejected" for one in self.results.values()):
            rejected()

    async def _check(self, provider: Provider) -> None:
        if provider.probe is None:
            self._note(provider, "skipped", _NOT_ASKED)
            return
        try:
            status = await self._prober.ask(provider, provider.probe)
        except (CancelledError, ConnectingCancelledError):
            raise CancelledError from None
        except EgressDenied as error:
            self._note(provider, "egress_denied", error.message)
        except Exception as error:
            self._note(provider, "network_error", self._words(error))
        else:
            self._note(provider, provider.probe.verdict(status), f"HTTP {status}")

    def _words(self, error: Exception) -> str:
        known = translate_dial(error, tunnelled=self._tunnelled)
        if isinstance(error, ProxyError) or known.code != "internal_error":
            return known.message
        return type(error).__name__

    def _note(self, provider: Provider, status: str, message: str) -> None:
        if self._stopped:
            return
        self.results[provider.name] = {"status": status, "message": message}
        level = "info" if status in ("valid", "skipped") else "warning"
        self._log.log(
            level,
            "key_validation",
            provider=provider.name,
            status=status,
            message=message,
        )

    def shown(self) -> dict[str, object]:
        """The state as ``/health`` has it."""
        return {"complete": self.complete, "results": self.results}
