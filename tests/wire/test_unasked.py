"""Responses on a WebSocket that nobody has asked for."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.policy.rules import Models, Rules
from tests.kit.books import capped
from tests.wire.talk import SOUND, Scene, answers, create


class UnaskedTests(SynchronousTestCase):
    def test_a_response_that_nobody_asked_for(self) -> None:
        """Is a record all the same (Realtime, when it hears that somebody has spoken)."""
        scene = Scene(capped(runs=5))
        scene.hear(*answers(input=7, output=8))
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)
        scene.desk.accounts.flush()
        self.assertEqual(scene.desk.told[0].usage.input, 7)

    def test_unasked_responses_spend_a_budget(self) -> None:
        """Each is let through when it begins; the one too many closes the socket."""
        scene = Scene(capped(runs=2), path=b"/v1/realtime?model=gpt-4o")
        scene.say(SOUND)
        for number in (1, 2):
            scene.hear(answers(number)[0])
            self.assertEqual(scene.desk.ledger.standing("runs").reserved, 1)
            scene.hear(*answers(number)[1:])
            self.assertEqual(scene.desk.ledger.standing("runs").spent, number)
            self.assertEqual(scene.wire.closed, [])
        scene.hear(answers(3)[0])
        self.assertEqual(scene.told[-1]["error"]["code"], "max_runs_exceeded")
        self.assertEqual(scene.wire.closed[0][0], 1008)
        self.assertEqual(scene.desk.refusals, ["max_runs_exceeded"])

    def test_unasked_responses_of_a_model_that_may_not_be_used(self) -> None:
        """Nobody needs to ask for a response to get one."""
        scene = Scene(
            Rules(models=Models(allowed=("gpt-4o",))), path=b"/v1/realtime?model=o3"
        )
        scene.say(SOUND)
        scene.hear(answers()[0])
        self.assertEqual(scene.told[-1]["error"]["code"], "model_policy_violation")
        self.assertEqual(scene.wire.closed[0][0], 1008)

    def test_an_unasked_response_in_one_message(self) -> None:
        """Gemini Live: begun and over at once."""
        live = b"/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent"
        scene = Scene(capped(runs=1), path=live)
        scene.say(b'{"setup":{"model":"models/gemini-2.5-flash"}}')
        usage = {"promptTokenCount": 5, "candidatesTokenCount": 6}
        turn = {"serverContent": {"turnComplete": True}, "usageMetadata": usage}
        scene.hear(turn)
        scene.desk.accounts.flush()
        self.assertEqual(scene.desk.ledger.standing("runs").spent, 1)
        self.assertEqual(scene.wire.closed, [])
        scene.hear(turn)
        self.assertEqual(scene.desk.refusals, ["max_runs_exceeded"])
        self.assertEqual(scene.wire.closed[0][0], 1008)
        self.assertEqual(scene.told, [turn, turn])

    def test_a_message_that_asks_not_to_be_answered(self) -> None:
        """Is judged by what it gets; ``generate`` is no way around a budget."""
        scene = Scene(capped(runs=1))
        scene.say(create().replace(b"{", b'{"generate":false,', 1))
        scene.hear(*answers())
        scene.desk.accounts.flush()
        scene.say(create().replace(b"{", b'{"generate":false,', 1))
        scene.hear(*answers(2))
        self.assertEqual(scene.desk.refusals, ["max_runs_exceeded"])

    def test_an_unasked_response_and_a_ledger_far_away(self) -> None:
        """Over before it is known, its room is given back; nothing is asked at the end."""
        scene = Scene(capped(runs=5))
        scene.say(SOUND)
        scene.desk.ledger.slow = True
        scene.hear(*answers())
        scene.desk.ledger.answer()
        scene.desk.ledger.answer()
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)
        scene.hear(answers(2)[0])
        scene.turns.end(None)
        scene.desk.ledger.answer()
        scene.desk.ledger.answer()
        self.assertEqual(scene.desk.ledger.standing("runs").reserved, 0)
        self.assertEqual((scene.desk.complaints, scene.wire.closed), ([], []))

    def test_an_unasked_response_and_a_bug(self) -> None:
        """Is told, and ends the socket."""
        scene = Scene(capped(runs=5))
        scene.say(SOUND)
        scene.desk.ledger.broken = RuntimeError()
        scene.hear(answers()[0])
        self.assertIn("a response could not be judged", scene.desk.complaints)
        self.assertEqual(scene.wire.closed[0][0], 1008)
