"""Tests of the kit's real Redis."""

import shutil
from pathlib import Path

from tests.kit.case import LoopbackCase
from tests.kit.redis import Redis, RedisBroken, redis_missing


class RedisTests(LoopbackCase):
    skip = redis_missing()

    async def test_ends_completely(self) -> None:
        """Neither its process nor what it has written is left; a second end is no error."""
        redis = Redis(self.reactor)
        await redis.start()
        self.assertTrue(Path(redis.path).is_socket())
        await redis.stop()
        self.assertFalse(Path(redis.path).parent.exists())
        await redis.stop()

    async def test_says_why_it_does_not_start(self) -> None:
        """A test that waits for it fails at once."""
        redis = await self.started(Redis(self.reactor))
        await redis.kill()
        shutil.rmtree(Path(redis.path).parent)
        with self.assertRaises(RedisBroken):
            await redis.restart()
