"""What the front keeps for all workers."""

import os
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.admin.control.door import SocketTaken
from apiproxy.config import ConfigurationError, Settings
from apiproxy.core.exchange import Exchange
from apiproxy.core.stopping import LiveExchange
from apiproxy.ledger.open import InFolder
from apiproxy.listening import PortTaken
from apiproxy.policy.ledger import LedgerUnavailable
from apiproxy.telemetry.lines import LineLog
from apiproxy.telemetry.report import Report
from apiproxy.workers import control, folder, messages
from apiproxy.workers.office import Crew, Office
from apiproxy.workers.shares import Shares
from tests.kit.workers import FakeReactor
from tests.test_service import settings


class FakeControl:
    """Stands for the control socket.

    Attributes:
        made: what it was made of.
        fails: what it fails with when it is opened.
    """

    made: tuple[Any, ...] = ()
    fails: Exception | None = None
    closed = 0

    def __init__(self, *made: Any, **more: Any) -> None:
        type(self).made = made

    def open(self) -> None:
        if self.fails is not None:
            raise self.fails

    async def close(self) -> None:
        type(self).closed += 1


class OfficeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()
        self.patch(folder, "PLACES", (str(self.place),))

        class Control(FakeControl):
            """That of this test."""

        self.control = Control
        self.patch(control, "FrontControl", self.control)

    def office(self, chosen: Settings) -> Office:
        reactor: Any = FakeReactor()
        shares = Shares.make(2)
        self.addCleanup(shares.close)
        crew = Crew(
            settings=lambda: chosen,
            members=list,
            shares=shares,
            whole=lambda: succeed(Report(version="1", uptime=0.0)),
            drain=lambda: None,
            reread=list,
        )
        log = LineLog(lambda line: None, level="error", now=float)
        return Office(crew, reactor, log)

    def closed(self, office: Office) -> None:
        self.successResultOf(Deferred.fromCoroutine(office.close()))

    def test_a_ledger_for_workers(self) -> None:
        """Where the settings name no place for it; it goes when the service does."""
        office = self.office(settings())
        self.assertEqual(office.ledger, "")
        office.open()
        self.assertEqual(os.listdir(self.place), [Path(office.ledger).name])
        self.closed(office)
        self.assertEqual(os.listdir(self.place), [])

    def test_no_ledger_of_its_own(self) -> None:
        """Where the settings name one, and where nothing is counted."""
        there = str(self.place / "there")
        for chosen, ledger in (
            (settings(APIPROXY_STATE_DIR=there), there),
            (settings(APIPROXY_LEDGER="redis://127.0.0.1"), ""),
            (settings(APIPROXY_METERING="off"), ""),
        ):
            office = self.office(chosen)
            office.open()
            self.assertEqual((office.ledger, os.listdir(self.place)), (ledger, []))
            self.closed(office)

    def test_no_place_for_it(self) -> None:
        """The service cannot start then."""
        self.patch(folder, "PLACES", ("/nowhere/at/all",))
        self.assertRaises(ConfigurationError, self.office(settings()).open)

    def test_a_control_socket(self) -> None:
        """With the workers' ledger behind it."""
        office = self.office(settings(APIPROXY_CONTROL_SOCKET="/run/c"))
        office.open()
        self.assertEqual(self.control.made[0], "/run/c")
        self.assertEqual(self.control.made[2], InFolder(Path(office.ledger)))
        self.closed(office)
        self.assertEqual(self.control.closed, 1)
        chosen = settings(APIPROXY_CONTROL_SOCKET="/run/c")
        chosen = evolve(chosen, state_dir=str(self.place))
        self.office(chosen).open()
        self.assertEqual(self.control.made[2], InFolder(self.place))

    def test_what_cannot_be_opened(self) -> None:
        """It is said in the words of those who start the service; no folder is left."""
        for error, said in (
            (LedgerUnavailable("broken"), ConfigurationError),
            (SocketTaken("taken"), PortTaken),
        ):
            self.control.fails = error
            office = self.office(settings(APIPROXY_CONTROL_SOCKET="/run/c"))
            self.assertRaises(said, office.open)
            self.assertEqual(os.listdir(self.place), [])

    def test_answers_of_workers(self) -> None:
        """They come to whoever has asked."""
        office = self.office(settings(APIPROXY_CONTROL_SOCKET="/run/c"))
        office.open()
        questions = self.control.made[3]

        class Member:
            number = 1

            def send(self, message: object) -> None:
                """It is told nothing here."""

        member = Member()
        duties = office.duties(member)
        live = LiveExchange.of(Exchange("1", "a", "GET", "/", seconds=float))
        shown = questions.ask([member], messages.Show)
        duties[messages.Shown](messages.Shown(1, [live]))
        self.assertEqual(self.successResultOf(shown), [[live]])
        stopped = questions.ask([member], messages.Show)
        duties[messages.Stopped](messages.Stopped(2, 5))
        self.assertEqual(self.successResultOf(stopped), [5])
        late = questions.ask([member], messages.Show)
        office.gone(member)
        self.assertEqual(self.successResultOf(late), [])
        self.closed(office)
