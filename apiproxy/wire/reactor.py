"""What we use of the reactor, said as a type."""

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorProcess,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)


class Reactor(
    IReactorCore,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
):
    """A reactor: sockets, names, time, a beginning and an end."""


class WorkersReactor(Reactor, IReactorFDSet, IReactorProcess, IReactorSocket):
    """A reactor that can also start processes and take sockets from elsewhere."""
