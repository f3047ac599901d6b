"""The base of the tests on real sockets."""

from tests.kit.case import LoopbackCase, the_reactor


class Thing:
    """Says what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def start(self) -> None:
        self.events.append("started")

    async def stop(self) -> None:
        self.events.append("stopped")


class LoopbackCaseTests(LoopbackCase):
    async def test_what_is_started_is_stopped(self) -> None:
        thing = Thing()
        self.assertIs(await self.started(thing), thing)
        self.assertEqual(thing.events, ["started"])
        self.doCleanups()
        self.assertEqual(thing.events, ["started", "stopped"])

    async def test_until_waits_and_gives_up(self) -> None:
        answers = [False, False, True]
        await self.until(lambda: answers.pop(0))
        with self.assertRaises(self.failureException):
            await self.until(lambda: False, seconds=0.01)

    async def test_until_still_waits_for_a_number_to_settle(self) -> None:
        numbers = [1, 2, 3, 3, 4, 4, 4]
        await self.until_still(
            lambda: numbers.pop(0) if len(numbers) > 1 else numbers[0], turns=3
        )
        self.assertEqual(numbers, [4])

    async def test_the_reactor_is_the_one_of_the_process(self) -> None:
        self.assertIs(self.reactor, the_reactor())
