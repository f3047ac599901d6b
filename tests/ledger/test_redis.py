"""Tests of ``apiproxy.ledger.redis``, against a real one."""

import os
from collections.abc import Callable
from itertools import count
from threading import Thread
from typing import Any, cast

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.threads import blockingCallFromThread
from twisted.python.failure import Failure

import apiproxy.ledger.redis as module
from apiproxy.ledger.redis import RedisAccess, RedisLedger
from apiproxy.ledger.rules import Bounds, Store
from apiproxy.policy.ledger import Claim, LedgerUnavailable
from tests.kit.hypothesis_profile import STEADY
from tests.kit.redis import Redis, redis_missing
from tests.ledger.machine import LedgerMachine
from tests.ledger.suite import RUN, CommonTests, LedgerSuite, tokens


class RedisSuite(LedgerSuite):
    """Each test has a Redis of its own; it starts in a twentieth of a second."""

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
        self.addCleanup(ledger.close)
        if connected:
            await self.until(lambda: ledger.up)
        return ledger

    def killed(self, ledger: RedisLedger) -> Deferred[object]:
        """End a process without a chance to say good-bye, and let its lease end."""

        async def story() -> None:
            await self.lapse(ledger)
            ledger._closed = True
            ledger._renewing.stop()
            await ledger._line.stop()

        return self.ended(story)

    def in_thread(self, work: Callable[[], None]) -> Deferred[None]:
        """Do something in a thread that does not keep the process from ending."""
        done: Deferred[None] = Deferred()

        def run() -> None:
            try:
                work()
            except BaseException:
                self.threads.callFromThread(done.errback, Failure())
            else:
                self.threads.callFromThread(done.callback, None)

        Thread(target=run, daemon=True).start()
        return done

    def waited(self, work: Callable[..., Any], *args: object) -> Any:
        """Do something on the reactor's thread, from another one."""
        return blockingCallFromThread(self.threads, work, *args)

    async def lapse(self, ledger: RedisLedger) -> None:
        """Let its lease end."""
        await self.command(ledger, "ZADD", f"{ledger._base}:owners", 0, ledger._token)

    async def lease(self, ledger: RedisLedger) -> bytes:
        """When its lease ends."""
        key = f"{ledger._base}:owners"
        return cast(bytes, await self.command(ledger, "ZSCORE", key, ledger._token))

    async def command(self, ledger: RedisLedger, *words: str | int) -> Any:
        """Ask Redis something else, on the connection of a ledger."""
        return await ledger._line.ask(*words)

    async def opened(self, bounds: Bounds | None = None) -> Store:
        self.server = await self.redis()
        return await self.process(self.server, bounds=bounds)


class OneProcess:
    """A process that shares the ledger, as a state machine in another thread wants it."""

    def __init__(self, suite: RedisSuite, ledger: RedisLedger) -> None:
        self._suite = suite
        self._ledger = ledger

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._ledger, name)
        return lambda *args: self._suite.waited(method, *args)

    def kill(self) -> None:
        self._suite.waited(self._suite.killed, self._ledger)

    def stop(self) -> None:
        self._suite.waited(self._ledger.close)

    def sweep(self) -> None:
        self._suite.waited(self._ledger._renew)


class RedisLedgerTests(CommonTests, RedisSuite):
    """The common tests, and those of a Redis that several processes share."""

    async def test_nothing_is_lost_in_any_order(self) -> None:
        """Whatever the processes that share it do, and however they end."""
        redis = await self.redis()
        numbers = count()

        def begin() -> Callable[[], OneProcess]:
            access = RedisAccess(timeout=30, base=f"{{machine}}:{next(numbers)}")

            def opened() -> OneProcess:
                ledger = self.waited(
                    lambda: Deferred.fromCoroutine(self.process(redis, access=access))
                )
                return OneProcess(self, ledger)

            return opened

        class Machine(LedgerMachine):
            pass

        Machine.begin = staticmethod(begin)
        few = settings(
            STEADY,
            max_examples=25,
            stateful_step_count=25,
            phases=(Phase.generate,),  # to find the shortest failure takes minutes
        )
        await self.in_thread(lambda: run_state_machine_as_test(Machine, settings=few))

    async def test_claims_of_a_replica_that_is_gone_are_counted_as_set_aside(
        self,
    ) -> None:
        """When its lease has ended, by whoever notices first, and by one only."""
        redis = await self.redis()
        first, other, third = [await self.process(redis) for _ in range(3)]
        await self.reserved(first, "a", tokens(40))
        await self.reserved(other, "b", tokens(7))
        await self.killed(first)
        await other._renew()
        await third._renew()
        await self.run_has(other, 40, 7)
        self.assertEqual((other.presumed, third.presumed), (1, 0))

    async def test_lease_is_renewed(self) -> None:
        """So a replica that lives longer than its lease keeps its claims."""
        redis = await self.redis()
        short = RedisAccess(timeout=5, lease=0.3)
        first = await self.process(redis, access=short)
        other = await self.process(redis)
        await self.reserved(first, "a", tokens(40))
        before = await self.lease(first)
        while await self.lease(first) == before:
            await other._renew()
        first._renewing.interval = 1e9
        while not other.presumed:
            await other._renew()
        await self.run_has(other, 40, 0)

    async def test_presumption_is_taken_back(self) -> None:
        """When the process was only away for a while, and tells what it has cost."""
        redis = await self.redis()
        first, other = [await self.process(redis) for _ in range(2)]
        for id in ("settled", "released", "extended"):
            await self.reserved(first, id, tokens(40))
        await self.lapse(first)
        await other._renew()
        await self.run_has(other, 120, 0)
        for _ in range(2):
            await self.settled(first, "settled", tokens(25))
        await self.run_has(other, 105, 0)
        await first.release("released")
        await self.run_has(other, 65, 0)
        await first.extend("extended", [tokens(5)])
        await self.run_has(other, 25, 45)
        await self.settled(first, "extended", tokens(1))
        await self.run_has(other, 26, 0)

    async def test_orderly_end_counts_what_is_under_way(self) -> None:
        """What is settled before is settled; the rest cost what was set aside."""
        redis = await self.redis()
        first, other = [await self.process(redis) for _ in range(2)]
        await self.reserved(first, "a", tokens(40))
        await self.reserved(first, "b", tokens(40))
        await self.settled(first, "a", tokens(1))
        await first.close()
        await self.run_has(other, 41, 0)

    async def test_redis_that_is_away_fails_everything_at_once(self) -> None:
        """Then the caller can decide whether to go on."""
        redis = await self.redis()
        ledger = await self.process(redis)
        await redis.kill()
        await self.until(lambda: not ledger.up)
        for attempt in (*self.attempts(ledger), ledger.sync):
            failed = attempt()
            self.failureResultOf(failed, LedgerUnavailable)
        self.assertIn("down, 5 owed", repr(ledger).replace(">", ""))

    async def test_redis_that_comes_back_is_told_what_it_is_owed(self) -> None:
        """Nothing that was spent while it was away is lost, nothing stays reserved."""
        redis = await self.redis(keeps=True)
        ledger = await self.process(redis)
        await self.reserved(ledger, "a", tokens(40))
        await self.reserved(ledger, "b", tokens(40))
        await redis.kill()
        await self.until(lambda: not ledger.up)
        for failed in (
            ledger.settle("a", [tokens(30)]),
            ledger.release("b"),
            ledger.add([tokens(2)]),
            ledger.reserve(Claim("c", (tokens(9),))),
            ledger.settle("c", [tokens(8)]),
        ):
            self.failureResultOf(failed, LedgerUnavailable)
        await redis.restart()
        await self.until(lambda: ledger.up and not ledger.owed)
        await self.run_has(ledger, 40, 0)
        self.assertIsNone(await self.reserved(ledger, "d", tokens(5, 41)))

    async def test_streak_that_ends_while_redis_is_away_has_ended(self) -> None:
        """Or a cap on misses in a row would refuse what has long got well again."""
        redis = await self.redis(keeps=True)
        ledger = await self.process(redis)
        await ledger.add([tokens(3, measure="misses"), tokens(2)])
        await redis.kill()
        await self.until(lambda: not ledger.up)
        self.failureResultOf(ledger.clear(RUN, "misses"), LedgerUnavailable)
        await redis.restart()
        await self.until(lambda: ledger.up and not ledger.owed)
        expected = {RUN: (2, 0), f"{RUN} misses": (0, 0)}
        self.assertEqual(await self.figures(ledger), expected)

    async def test_redis_that_has_forgotten_everything_is_used_again(self) -> None:
        """It knows neither scripts nor claims; what is settled is written down."""
        redis = await self.redis()
        ledger = await self.process(redis)
        await self.reserved(ledger, "a", tokens(40))
        await redis.kill()
        await redis.restart()
        await self.until(lambda: ledger.up)
        await self.settled(ledger, "a", tokens(30))
        await self.run_has(ledger, 30, 0)

    async def test_redis_that_does_not_answer_is_not_waited_for(self) -> None:
        """A reservation that it makes later all the same is given back."""
        redis = await self.redis()
        ledger = await self.process(redis, access=RedisAccess(timeout=0.2))
        await self.reserved(ledger, "a", tokens(40))
        redis.signal("STOP")
        try:
            asked: list[Deferred[Any]] = [
                ledger.reserve(Claim("b", (tokens(5),))),
                ledger.settle("a", [tokens(30)]),
            ]
            for each in asked:
                with self.assertRaises(LedgerUnavailable):
                    await each
            # A connection is taken by the kernel, but Redis does not let us in.
            await self.until(lambda: ledger._line._rejected)
        finally:
            redis.signal("CONT")
        await self.until(lambda: ledger.up and not ledger.owed)
        await self.run_has(ledger, 30, 0)

    async def test_redis_that_refuses_is_told_later(self) -> None:
        """Its memory may be full; the ledger tries again when it renews its lease."""
        redis = await self.redis()
        ledger = await self.process(redis)
        await self.settled(ledger, "first", tokens(1))
        await self.command(ledger, "CONFIG", "SET", "maxmemory", "1")
        for id in ("a", "b"):
            with self.assertRaises(LedgerUnavailable) as caught:
                await ledger.settle(id, [tokens(3)])
            self.assertIn("OOM", str(caught.exception))
        with self.assertRaises(LedgerUnavailable):
            await ledger.sync()
        self.assertEqual(ledger.owed, 2)
        await self.command(ledger, "CONFIG", "SET", "maxmemory", "0")
        await ledger._renew()
        await self.until(lambda: not ledger.owed)
        await self.run_has(ledger, 7, 0)

    async def test_what_is_owed_is_bounded(self) -> None:
        """What is beyond that is said to be lost."""
        redis = await self.redis()
        self.patch(module, "_MOST_OWED", 2)
        ledger = await self.process(redis)
        await redis.kill()
        await self.until(lambda: not ledger.up)
        for id in ("a", "b", "c", "a"):
            self.failureResultOf(ledger.settle(id, []), LedgerUnavailable)
        self.assertEqual(ledger.owed, 2)

    async def test_same_debt_that_changes_while_it_is_paid_is_paid_again(self) -> None:
        """What was said last of a claim is what counts."""
        redis = await self.redis()
        ledger = await self.process(redis)
        failure = Failure(LedgerUnavailable("away"))
        ledger._owe(failure, "a", ledger._scripts.release, ("a",))
        paid = ledger.sync()
        words = ("a", *module._words([tokens(8)]))
        ledger._owe(failure, "a", ledger._scripts.settle, words)
        await paid
        self.assertEqual(ledger.owed, 1)
        await ledger.sync()
        await self.run_has(ledger, 8, 0)
