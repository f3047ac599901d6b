"""Dispatching readiness directly: a private trick, worth about a twentieth of a request.

When a socket can be read, Twisted's epoll reactor goes through five functions before the
socket's own ``doRead``: they copy a dictionary to say in the log whose turn it is, which is
seen only in a traceback, and ask for the descriptor's number once more. ``dispatch_directly``
gives one reactor a loop body that calls ``doRead`` and ``doWrite`` themselves. Whatever is not
simply readable or writable (a hangup, an error, both at once) still takes Twisted's own way.
What a socket raises is logged and costs its own connection, as with Twisted.

It replaces ``doPoll`` on one instance of ``EPollReactor`` and looks at attributes of it that
are not public. Any other reactor is left alone; with ``APIPROXY_LEAN_IO=off`` nobody asks for
it, and everything passes either way.
"""

import select
from collections.abc import Callable
from typing import Any

from twisted.python import log

_NEEDED = ("_poller", "_selectables", "_doReadOrWrite", "_disconnectSelectable")


def dispatch_directly(reactor: Any) -> bool:
    """Give the reactor, which is not running yet, the short way; whether it has got it."""
    if not all(hasattr(reactor, name) for name in _NEEDED):
        return False
    if type(reactor._poller).__name__ != "epoll":
        return False
    reactor.doPoll = reactor.doIteration = _short_way(reactor)
    return True


def _short_way(reactor: Any) -> Callable[[float | None], None]:
    wait, selectables = reactor._poller.poll, reactor._selectables
    disconnect, long_way = reactor._disconnectSelectable, reactor._doReadOrWrite
    readable, writable = select.EPOLLIN, select.EPOLLOUT

    def dispatch(timeout: float | None) -> None:
        # As many as there are sockets, as Twisted does; never none.
        for number, event in wait(timeout, len(selectables) or 1):
            selectable = selectables.get(number)
            if selectable is None:  # lost while an earlier one was served
                continue
            try:
                if event == readable:
                    why = selectable.doRead()
                elif event == writable:
                    why = selectable.doWrite()
                else:
                    log.callWithLogger(selectable, long_way, selectable, number, event)
                    continue
            except BaseException as error:
                log.err()
                why = error
            if why:
                read = event == readable
                log.callWithLogger(selectable, disconnect, selectable, why, read)

    return dispatch
