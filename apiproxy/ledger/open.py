"""Which ledger it is, and how it is opened: in memory, in a folder, in Redis."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import frozen
from twisted.internet.interfaces import (
    IReactorFromThreads,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from apiproxy.core.values import Secret
from apiproxy.ledger.memory import MemoryLedger
from apiproxy.ledger.redis import RedisAccess, RedisLedger
from apiproxy.ledger.rules import Bounds, Store
from apiproxy.ledger.sqlite import SqliteLedger
from apiproxy.policy.ledger import LedgerUnavailable

FILE = "ledger.sqlite"
"""The name of the database in a folder of state."""

_PORT = 6379


class Threads(IReactorFromThreads, IReactorTime):
    """What an open ledger needs of a reactor."""

    def getThreadPool() -> ThreadPool:
        """Where it does what takes long."""


@frozen
class Nowhere:
    """The ledger is in memory."""


@frozen
class InFolder:
    """The ledger is a SQLite database.

    Attributes:
        folder: where it is; made when it is not there.
    """

    folder: Path


@frozen
class InRedis:
    """The ledger is in Redis.

    Attributes:
        host: a name or an address.
        port: of TCP.
        tls: whether it is spoken to over TLS.
        access: who we are there.
    """

    host: str
    port: int
    tls: bool
    access: RedisAccess


LedgerPlace: TypeAlias = Nowhere | InFolder | InRedis
"""Where a ledger is."""

Connect: TypeAlias = Callable[[str, int, bool], IStreamClientEndpoint]
"""The endpoint for a host and a port, over TLS or not."""


def read_place(where: Secret, *, timeout: float = 1.0) -> LedgerPlace:
    """Read where the ledger is.

    Args:
        where: ``memory:``, a folder's absolute path, ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]``
            or the same with ``rediss://`` for TLS; in UTF-8.
        timeout: seconds that an operation may take in Redis.

    Raises:
        ValueError: it is none of these; the message does not repeat it.
    """
    text = where.reveal().decode()
    if text == "memory:":
        return Nowhere()
    if text.startswith("/"):
        return InFolder(Path(text))
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:  # its message may have the password in it
        raise ValueError("must be a URL that can be read") from None
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise ValueError("must be memory:, an absolute path, or redis://HOST:PORT/DB")
    if port is None:
        port = _PORT
    return InRedis(url.hostname, port, url.scheme == "rediss", _access(url, timeout))


def _access(url: SplitResult, timeout: float) -> RedisAccess:
    if not re.fullmatch(r"(/[0-9]{0,6})?", url.path) or url.query or url.fragment:
        raise ValueError("must have a number, or nothing, after the host of its URL")
    password = unquote(url.password or "").encode()
    return RedisAccess(
        database=int(url.path[1:] or 0),
        username=unquote(url.username or "") or None,
        password=Secret(password) if password else None,
        timeout=timeout,
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnavailable(str(error)) from error


def open_ledger(
    where: LedgerPlace,
    reactor: Threads,
    *,
    now: Callable[[], float],
    new_id: Callable[[], str],
    connect: Connect,
    bounds: Bounds | None = None,
) -> Store:
    """Open the ledger. In the process that uses it, after any fork.

    Args:
        where: as ``read_place`` has read it.
        reactor: counts the seconds; its threads sync files.
        now: gives epoch seconds, in which the ends of caps are told.
        new_id: makes ids that are not used twice, of letters, digits and ``-``; the first is
            the name of this process among those that share the ledger.
        connect: how Redis is reached.
        bounds: how much is remembered.

    Raises:
        LedgerUnavailable: the file cannot be opened, or ``txredisapi`` is missing. A Redis
            that is away now is no error; it is connected to when it is there.
    """
    if isinstance(where, InFolder):
        _make(where.folder)
        return SqliteLedger(
            where.folder / FILE,
            clock=reactor,
            token=new_id(),
            now=now,
            aside=partial(deferToThreadPool, reactor, reactor.getThreadPool()),
            bounds=bounds,
        )
    if isinstance(where, InRedis):
        return RedisLedger(
            connect(where.host, where.port, where.tls),
            where.access,
            reactor,
            token=new_id(),
            now=now,
            new_id=new_id,
            bounds=bounds,
        )
    return MemoryLedger(now, bounds)
