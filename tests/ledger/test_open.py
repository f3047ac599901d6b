"""Tests of ``apiproxy.ledger.open``: which ledger it is."""

import tempfile
import time
from pathlib import Path

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.ledger.memory import MemoryLedger
from apiproxy.ledger.open import (
    InFolder,
    InRedis,
    LedgerPlace,
    Nowhere,
    open_ledger,
    read_place,
)
from apiproxy.ledger.redis import RedisAccess, RedisLedger
from apiproxy.ledger.rules import Store
from apiproxy.ledger.sqlite import SqliteLedger
from apiproxy.policy.ledger import LedgerUnavailable
from tests.kit.redis import Redis, redis_missing
from tests.ledger.suite import LedgerSuite, now, tokens


def read(where: str) -> LedgerPlace:
    """What it says."""
    return read_place(Secret(where.encode()))


class PlaceTests(SynchronousTestCase):
    def test_memory_and_folders(self) -> None:
        """One word, or an absolute path."""
        self.assertEqual(read("memory:"), Nowhere())
        self.assertEqual(read("/var/lib/a"), InFolder(Path("/var/lib/a")))

    def test_redis_by_its_url(self) -> None:
        """What is not said is what Redis takes to be meant."""
        for text, expected in (
            ("redis://r", InRedis("r", 6379, False, RedisAccess())),
            ("rediss://r:1/2", InRedis("r", 1, True, RedisAccess(2))),
            ("redis://[::1]:7/", InRedis("::1", 7, False, RedisAccess())),
            (
                "redis://:p%40ss@r/5",
                InRedis("r", 6379, False, RedisAccess(5, None, Secret(b"p@ss"))),
            ),
            (
                "redis://me:word@r",
                InRedis("r", 6379, False, RedisAccess(0, "me", Secret(b"word"))),
            ),
        ):
            self.assertEqual(read(text), expected)
            self.assertNotIn("word=word", repr(read(text)))

    def test_what_cannot_be_read_is_refused_and_not_repeated(self) -> None:
        """There may be a password in it."""
        for text in (
            "",
            "relative/path",
            "http://:hunter2@r",
            "redis://",
            "redis://:hunter2@r:port",
            "redis://:hunter2@[r",
            "redis://:hunter2@r/name",
            "redis://:hunter2@r/0?db=1",
            "redis://:hunter2@r/0#1",
            "redis://:hunter2@r/9999999",
        ):
            with self.assertRaises(ValueError) as caught:
                read(text)
            self.assertNotIn("hunter2", str(caught.exception))
            self.assertIsNone(caught.exception.__cause__)


class OpenTests(LedgerSuite):
    def open(self, where: LedgerPlace, path: str = "") -> Store:
        """Open it, until the end of the test."""
        ledger = open_ledger(
            where,
            self.threads,
            now=time.time,
            new_id=lambda: "id",
            connect=lambda host, port, tls: self.endpoint(path, host, port, tls),
        )
        self.addCleanup(ledger.close)
        return ledger

    def endpoint(
        self, path: str, host: str, port: int, tls: bool
    ) -> IStreamClientEndpoint:
        """Wherever the URL says it is, it is at this path."""
        self.assertEqual((host, port, tls), ("r", 6379, True))
        return UNIXClientEndpoint(self.reactor, path)

    def test_memory(self) -> None:
        """Nothing is needed."""
        self.assertIsInstance(self.open(Nowhere()), MemoryLedger)

    async def test_folder(self) -> None:
        """It is made if it is not there; the threads of the reactor sync the file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state" / "ledger"
            ledger = self.open(InFolder(path))
            self.assertIsInstance(ledger, SqliteLedger)
            await now(ledger.add([tokens(5)]))
            await ledger.sync()
            self.assertTrue((path / "ledger.sqlite").exists())
            await ledger.close()
            await ledger.close()  # once more changes nothing

    def test_folder_that_cannot_be_made(self) -> None:
        """The ledger is not there, and why is said."""
        with self.assertRaises(LedgerUnavailable):
            self.open(InFolder(Path("/dev/null/state")))

    async def test_redis(self) -> None:
        """It is reached as the caller says, over TLS or not."""
        redis = await self.started(Redis(self.reactor))
        ledger = self.open(read("rediss://r/1"), redis.path)
        assert isinstance(ledger, RedisLedger)
        await self.until(lambda: ledger.up)
        await ledger.add([tokens(5)])
        await ledger.close()
        await ledger.close()

    test_redis.skip = redis_missing()  # type: ignore[attr-defined]
