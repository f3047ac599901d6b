"""Tests of ``apiproxy.ledger.redis``, against a real one."""

import os
import threading
from collections.abc import Callable
from itertools import count
from typing import Any, cast

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.threads import blockingCallFromThread, deferToThread

from apiproxy.core.values import Secret
from apiproxy.ledger.redis import RedisAccess, RedisLedger
from apiproxy.ledger.rules import Bounds, Store
from apiproxy.policy.ledger import Claim, Entry, LedgerUnavailable
from tests.kit.hypothesis_profile import STEADY
from tests.kit.redis import Redis, redis_missing
from tests.ledger.machine import LedgerMachine
from tests.ledger.suite import CommonTests, LedgerSuite, now, tokens


class RedisSuite(LedgerSuite):
    """Each test has a Redis of its own only if it wants one; else they share one."""

    skip = redis_missing()
    timeout = 60

    async def redis(self, **how: Any) -> Redis:
        """A Redis that has nothing in it."""
        return await self.started(Redis(self.reactor, **how))

    async def process(
        self,
        redis: Redis,
        *,
        bounds: Bounds | None = None,
        access: RedisAccess | None = None,
        connected: bool = True,
        cleaned: bool = True,
    ) -> RedisLedger:
        """The ledger as one more process uses it."""
        ledger = RedisLedger(
            UNIXClientEndpoint(self.reactor, redis.path),
            access or RedisAccess(timeout=5),
            self.reactor,
            token=os.urandom(8).hex(),
            now=lambda: self.time,
            new_id=lambda: os.urandom(8).hex(),
            bounds=bounds,
        )
        if cleaned:
            self.addCleanup(ledger.close)
        if connected:
            await self.until(lambda: ledger.up)
        return ledger

    async def opened(self, bounds: Bounds | None = None) -> Store:
        self.server = await self.redis()
        return await self.process(self.server, bounds=bounds)


class RedisLedgerTests(CommonTests, RedisSuite):
    """The common tests, and those of a Redis that several processes share."""
