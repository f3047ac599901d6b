"""Exchanges that have ended, told some milliseconds later (see ``telemetry.batch``)."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from apiproxy.core.exchange import CLOSED, Exchange, Phase
from apiproxy.core.metered import Transport
from apiproxy.telemetry.batch import Batch


class Ends(Batch[Exchange]):
    """The observer that has those told later for whom the end of an exchange can wait."""

    def __init__(
        self, clock: IReactorTime, first: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing has ended yet.

        Args:
            clock: counts the moment.
            first: called before several are told, to find out what they have used.
        """
        super().__init__(clock, Exchange.tell_patient, first)

    def wants(self, phase: Phase, transport: Transport) -> bool:
        """Ends."""
        return phase is CLOSED

    observe = Batch.add
