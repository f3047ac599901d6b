"""What the front keeps for all workers: the place of their ledger, and the control socket."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.defer import Deferred

from apiproxy.config import ConfigurationError, LedgerUnusable, Settings
from apiproxy.ledger.open import InFolder, LedgerPlace, Nowhere
from apiproxy.listening import PortTaken
from apiproxy.policy.ledger import LedgerUnavailable
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.wire.reactor import Reactor
from apiproxy.workers import messages
from apiproxy.workers.folder import PrivateFolder
from apiproxy.workers.line import Duties
from apiproxy.workers.questions import Member, Questions
from apiproxy.workers.shares import Shares

if TYPE_CHECKING:
    from apiproxy.workers.control import FrontControl


@frozen(kw_only=True)
class Crew:
    """The workers, and what is theirs together, as an operator sees and changes it.

    Attributes:
        settings: gives those in force.
        members: gives the workers that can be asked.
        shares: what all workers count together.
        whole: gives the figures of all.
        drain: begins to stop in order.
        reread: has the settings read again, and tells what is wrong with them.
    """

    settings: Callable[[], Settings]
    members: Callable[[], Iterable[Member]]
    shares: Shares
    whole: Callable[[], Deferred[Report]]
    drain: Callable[[], None]
    reread: Callable[[], Sequence[str]]


class Office:
    """The place and the socket, from the start of the service to its end."""

    def __init__(self, crew: Crew, reactor: Reactor, log: LineLog) -> None:
        """Nothing is there yet.

        Args:
            crew: for whom it is kept.
            reactor: provides sockets and time.
            log: told of what an operator changes.
        """
        self._crew = crew
        self._reactor = reactor
        self._log = log
        self._folder = PrivateFolder()
        self._ledger = ""
        self._questions = Questions(reactor)
        self._control: FrontControl | None = None

    @property
    def ledger(self) -> str:
        """Folder of the ledger of all workers; empty if it is in none.

        It is the one of the start, also for a worker that is replaced after a reload.
        """
        return self._ledger

    def open(self) -> None:
        """Make what there is to be made.

        Raises:
            ConfigurationError: there is no place for a ledger, or it cannot be opened.
            PortTaken: the control socket cannot be.
        """
        settings = self._crew.settings()
        if settings.metering and isinstance(settings.ledger_place, Nowhere):
            try:
                self._folder.make()
            except OSError as error:
                problem = f"there is no place for the workers' ledger: {error}"
                raise ConfigurationError([problem]) from error
        place = self._ledger_place(settings)
        self._ledger = str(place.folder) if isinstance(place, InFolder) else ""
        if settings.control_socket is not None:
            try:
                self._open_control(settings, settings.control_socket)
            except BaseException:
                self._folder.remove()
                raise

    def _ledger_place(self, settings: Settings) -> LedgerPlace:
        path = self._folder.path
        return InFolder(Path(path)) if path else settings.ledger_place

    def _open_control(self, settings: Settings, path: str) -> None:
        from apiproxy.admin.control.door import SocketTaken
        from apiproxy.workers.control import FrontControl

        control = FrontControl(
            path,
            self._crew,
            self._ledger_place(settings),
            self._questions,
            self._reactor,
            self._log,
        )
        try:
            control.open()
        except LedgerUnavailable as error:
            raise LedgerUnusable(error) from error
        except SocketTaken as error:
            raise PortTaken(str(error)) from error
        self._control = control

    def duties(self, member: Member) -> Duties:
        """What to do when a worker answers an operator's question."""

        def shown(said: messages.Shown) -> None:
            self._questions.heard(member.number, said.id, said.exchanges)

        def stopped(said: messages.Stopped) -> None:
            self._questions.heard(member.number, said.id, said.number)

        return {messages.Shown: shown, messages.Stopped: stopped}

    def gone(self, member: Member) -> None:
        """A worker has ended."""
        self._questions.gone(member.number)

    async def close(self) -> None:
        """Let go of all; the workers have ended."""
        if self._control is not None:
            await self._control.close()
        self._folder.remove()
