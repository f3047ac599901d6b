"""Tests of ``apiproxy.ledger.redis_line``: how Redis is reached."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.values import Secret
from apiproxy.ledger import redis_line
from apiproxy.ledger.redis_line import RedisLine, speaker
from apiproxy.policy.ledger import LedgerUnavailable
from tests.kit.case import LoopbackCase
from tests.kit.redis import Redis, redis_missing


class SpeakerTests(SynchronousTestCase):
    def test_missing_package_is_said(self) -> None:
        """And which extra has it."""
        self.patch(sys, "modules", {**sys.modules, "txredisapi": None})
        with self.assertRaises(LedgerUnavailable) as caught:
            speaker()
        self.assertIn("apiproxy[redis]", str(caught.exception))

    def test_lean_process_imports_what_it_had_left_out(self) -> None:
        """The package cannot be imported without OpenSSL."""
        self.patch(sys, "modules", {**sys.modules, "OpenSSL": None})
        self.assertTrue(callable(speaker()))
        self.assertNotIn("OpenSSL", sys.modules)


class RedisLineTests(LoopbackCase):
    skip = redis_missing()
    PASSWORD = "correct horse"

    def line(
        self, redis: Redis, password: str | None = None, username: str | None = None
    ) -> RedisLine:
        """A line that begins to connect."""
        self.ups = 0
        line = RedisLine(
            UNIXClientEndpoint(self.reactor, redis.path),
            self.reactor,
            database=3,
            username=username,
            password=None if password is None else Secret(password.encode()),
            timeout=5,
            ready=self.up,
        )
        line.start()
        self.addCleanup(line.stop)
        return line

    def up(self) -> None:
        self.ups += 1

    async def test_password_and_database(self) -> None:
        """They are told before anything is asked, and the password is then forgotten."""
        redis = await self.started(Redis(self.reactor, password=self.PASSWORD))
        for username in (None, "default"):
            line = self.line(redis, self.PASSWORD, username)
            await line.ask("PING")  # who asks early waits for the first connection
            self.assertEqual(repr(line), "<RedisLine up>")
            about = await line.ask("CLIENT", "INFO")
            self.assertIn(b" db=3 ", about)
            self.assertIsNone(line._line.password if line._line else "none")

    async def test_wrong_password_is_said_once_and_never_shown(self) -> None:
        """It is tried again all the same, and slower each time: it may become right."""
        redis = await self.started(Redis(self.reactor, password=self.PASSWORD))
        said: list[str] = []

        class Log:
            def error(self, format: str, **fields: object) -> None:
                said.append(format.format(**fields))

            warn = info = error

        self.patch(redis_line, "_log", Log())
        line = self.line(redis, "wrong password")
        await self.until(lambda: line._rejected >= 2)
        self.assertEqual(len(said), 1)
        self.assertIn("does not let us in", said[0])
        self.assertNotIn("wrong password", said[0] + repr(line) + repr(vars(line)))
        self.assertFalse(line.up)
        line._password = Secret(self.PASSWORD.encode())
        await self.until(lambda: line.up)

    async def test_answer_that_is_an_error_is_told(self) -> None:
        """The connection stays."""
        redis = await self.started(Redis(self.reactor))
        line = self.line(redis)
        await self.until(lambda: line.up)
        with self.assertRaises(LedgerUnavailable) as caught:
            await line.ask("NONSENSE")
        self.assertIn("unknown command", str(caught.exception))
        self.assertEqual(await line.ask("PING"), "PONG")
        self.assertEqual(self.ups, 1)

    async def test_what_is_under_way_when_it_is_killed_fails(self) -> None:
        """At once, and the line is up again when Redis is."""
        redis = await self.started(Redis(self.reactor))
        line = self.line(redis)
        await self.until(lambda: line.up)
        blocked: Deferred[object] = line.ask("BLPOP", "nothing", "0")
        await redis.kill()
        failures: list[Failure] = []
        await blocked.addErrback(failures.append)
        failures[0].trap(LedgerUnavailable)
        await redis.restart()
        await self.until(lambda: line.up)
        self.assertEqual(self.ups, 2)
