"""Tests of ``apiproxy.providers.usage.socket``."""

from typing import Any

import msgspec
from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Demand, Record, Usage
from apiproxy.providers.usage.socket import MOST_OPEN, SocketCopy

CREATE = (
    b'{"type":"response.create","model":"gpt-5.1","input":"Good day","stream":true}'
)

LIVE: tuple[dict[str, Any], ...] = (
    {"setup": {"model": "models/x"}},
    {"client_content": {}},
)


@frozen
class Socket:
    """A socket with both of its sides played."""

    records: list[Record] = field(factory=list)
    closely: bool = False
    copy: SocketCopy = field(init=False)

    @copy.default
    def _copy(self) -> SocketCopy:
        return SocketCopy(self.records.append, "named", self.closely)

    def ask(self, **message: Any) -> Demand:
        """A message of the agent."""
        return self.copy.asked(msgspec.json.encode(message))

    def create(self, **message: Any) -> Demand:
        """``response.create``."""
        return self.ask(type="response.create", **message)

    def tell(self, **message: Any) -> None:
        """A message of upstream."""
        self.copy.told(msgspec.json.encode(message))

    def event(self, kind: str, id: str, **more: Any) -> None:
        """An event with a response in it."""
        response = {"id": id, "model": "gpt-5.1", "usage": None, **more}
        self.tell(type=f"response.{kind}", response=response)

    def complete(self, id: str, into: int, out: int, kind: str = "completed") -> None:
        """The end of a response, with its figures."""
        self.event(
            kind,
            id,
            status="completed",
            usage={"input_tokens": into, "output_tokens": out},
        )


def figures(record: Record) -> tuple[str, int, int, int]:
    """Which response, and what it has used."""
    assert record.usage is not None
    return record.id, record.turn, record.usage.all_input, record.usage.output


class ResponsesTests(SynchronousTestCase):
    def test_fifty_turns_are_fifty_records(self) -> None:
        """None is lost and none is counted twice, however many deltas are in between."""
        for closely in (False, True):
            socket = Socket(closely=closely)
            for turn in range(1, 51):
                demand = socket.copy.asked(CREATE)
                self.assertTrue(demand.inference)
                socket.event("created", f"r{turn}")
                for _ in range(20):
                    socket.tell(
                        type="response.output_text.delta", item_id="m", delta="word"
                    )
                self.assertEqual(len(socket.copy.running), 1)
                socket.complete(f"r{turn}", 10 * turn, turn)
                self.assertEqual(socket.copy.running, [])
            told = [figures(record) for record in socket.records]
            self.assertEqual(told, [(f"r{t}", t, 10 * t, t) for t in range(1, 51)])

    def test_parallel_responses_are_told_apart(self) -> None:
        """By ``stream_id``, or by the response's own id."""
        socket = Socket()
        for stream in "abc":
            demand = socket.create(
                model=f"m-{stream}", stream_id=stream, max_output_tokens=7
            )
            self.assertEqual((demand.model, demand.max_output), (f"m-{stream}", 7))
        for stream in "cab":
            socket.tell(
                type="response.created", stream_id=stream, response={"id": stream}
            )
        for count, stream in enumerate("aabbbc"):
            more = {"stream_id": stream} if count % 2 else {"response_id": stream}
            socket.tell(type="response.output_text.delta", delta="four", **more)
        self.assertEqual(
            [(r.id, r.said) for r in socket.copy.running],
            [("c", 4), ("a", 8), ("b", 12)],
        )
        for stream in "bca":
            usage = {"input_tokens": 3, "output_tokens": 4}
            socket.tell(
                type="response.completed",
                stream_id=stream,
                response={"id": stream, "usage": usage},
            )
        told = [(r.id, r.stream_id, r.model) for r in socket.records]
        self.assertEqual(told, [(s, s, f"m-{s}") for s in "bca"])

    def test_incomplete_and_failed_responses_are_metered(self) -> None:
        """They have used what they say."""
        socket = Socket()
        for kind in ("incomplete", "failed", "cancelled"):
            socket.copy.asked(CREATE)
            socket.complete(kind, 5, 2, kind)
        states = [(record.state, figures(record)[2:]) for record in socket.records]
        self.assertEqual(
            states, [("incomplete", (5, 2)), ("failed", (5, 2)), ("incomplete", (5, 2))]
        )

    def test_a_response_is_not_counted_twice(self) -> None:
        """What comes late for one that is over is nobody's."""
        socket = Socket()
        socket.copy.asked(CREATE)
        socket.complete("r1", 5, 2)
        socket.copy.asked(CREATE)
        socket.complete("r1", 5, 2)
        socket.tell(type="response.output_text.delta", response_id="r1", delta="late")
        self.assertEqual((len(socket.records), socket.copy.waiting), (1, 1))

    def test_a_response_with_a_long_id_is_one(self) -> None:
        """Some are encrypted; what is kept of them is enough."""
        socket = Socket()
        for id in ("a" * 4000, "b" * 1025):
            socket.copy.asked(CREATE)
            socket.event("created", id)
            socket.tell(type="response.output_text.delta", response_id=id, delta="x")
            socket.complete(id, 5, 2)
            socket.tell(type="response.output_text.delta", response_id=id, delta="late")
        self.assertEqual((socket.copy.running, socket.copy.waiting), ([], 0))
        told = [figures(record)[1:] for record in socket.records]
        self.assertEqual(told, [(1, 5, 2), (2, 5, 2)])

    def test_a_stray_event_begins_nothing(self) -> None:
        """Nobody asked, and no response is named."""
        socket = Socket()
        socket.tell(type="response.output_text.delta", delta="stray")
        socket.tell(type="rate_limits.updated", rate_limits=[])
        socket.copy.told(b"not json")
        socket.tell(type="response.rejected", response="x")
        self.assertEqual((socket.copy.running, socket.records), ([], []))

    def test_a_warm_up_makes_no_model_work(self) -> None:
        """Codex sends one with ``generate: false``; its response has a record like all."""
        socket = Socket()
        demand = socket.create(model="m", generate=False, input=[])
        self.assertEqual((demand.inference, demand.model), (False, "m"))
        socket.complete("r1", 0, 0)
        self.assertEqual(figures(socket.records[0]), ("r1", 1, 0, 0))

    def test_a_refused_demand_waits_for_nothing(self) -> None:
        """Its message has not gone upstream."""
        socket = Socket()
        socket.copy.asked(CREATE)
        socket.copy.asked(CREATE)
        socket.copy.refused()
        self.assertEqual(socket.copy.waiting, 1)
        socket.ask(type="input_audio_buffer.append", audio="AAAA")
        socket.copy.refused()
        self.assertEqual(socket.copy.waiting, 1)

    def test_an_error_ends_what_was_asked(self) -> None:
        """A request that the provider refused has used nothing; a broken one what was said."""
        socket = Socket()
        error = {"type": "invalid_request_error", "code": "previous_response_not_found"}
        socket.tell(type="error", status=400, error=error)
        self.assertEqual(socket.records, [])
        socket.copy.asked(CREATE)
        socket.tell(type="error", status=400, error=error)
        record = socket.records.pop()
        self.assertEqual(
            (record.state, record.stop), ("failed", "previous_response_not_found")
        )
        self.assertEqual((record.usage, record.gap), (Usage(), ""))
        socket.copy.asked(CREATE)
        socket.event("created", "r2")
        socket.tell(type="response.output_text.delta", delta="four")
        socket.tell(type="error", status=500, error={"type": "server_error"})
        record = socket.records.pop()
        self.assertEqual(
            (record.id, record.gap, record.estimated), ("r2", "no_usage", True)
        )

    def test_a_socket_that_ends_leaves_nothing_open(self) -> None:
        """What was running, and what had not begun, is estimated."""
        socket = Socket()
        for _ in range(2):
            socket.copy.asked(CREATE)
        socket.event("created", "r1")
        socket.tell(type="response.output_text.delta", delta="four words were said")
        socket.copy.end("agent_gone")
        socket.copy.end("agent_gone")
        first, second = socket.records
        size = -(-len(CREATE) // 4)
        self.assertEqual(figures(first), ("r1", 1, size, 5))
        self.assertEqual(figures(second), ("", 2, size, 0))
        self.assertEqual({r.gap for r in socket.records}, {"agent_gone"})
        self.assertEqual({r.model for r in socket.records}, {"gpt-5.1"})
        self.assertIn("0 open", repr(socket.copy))

    def test_what_is_open_is_bounded(self) -> None:
        """The oldest ends when there are too many."""
        socket = Socket()
        for count in range(MOST_OPEN + 1):
            socket.event("created", f"r{count}")
        self.assertEqual([r.gap for r in socket.records], ["too_many_open"])
        for _ in range(MOST_OPEN + 1):
            socket.copy.asked(CREATE)
        self.assertEqual(socket.copy.waiting, MOST_OPEN)
        self.assertLessEqual(len(socket.copy.running), MOST_OPEN)


class DemandTests(SynchronousTestCase):
    def test_what_is_no_demand_makes_nothing_work(self) -> None:
        """Audio, tool outputs and settings; the text counts for the next response."""
        socket = Socket()
        item = {
            "type": "message",
            "content": [{"type": "input_text", "text": "x" * 400}],
        }
        self.assertFalse(
            socket.ask(type="input_audio_buffer.append", audio="A" * 4000).inference
        )
        self.assertFalse(
            socket.ask(type="conversation.item.create", item=item).inference
        )
        self.assertEqual(
            socket.ask(type="session.update", session={"model": "m"}).model, "m"
        )
        self.assertEqual(socket.ask(type="session.update", session={}).model, "")
        self.assertGreater(socket.create().input_bytes, 400)
        self.assertLess(socket.create().input_bytes, 400)

    def test_settings_of_realtime_are_one_level_down(self) -> None:
        """``response.create`` has them in ``response``."""
        demand = Socket().create(
            response={"max_output_tokens": 50, "instructions": "x"}
        )
        self.assertEqual((demand.max_output, demand.model), (50, "named"))
        self.assertEqual(Socket().create(response=None).model, "named")

    def test_a_type_cannot_be_hidden(self) -> None:
        """Escapes in it are undone, and of two the last one counts."""
        socket = Socket()
        hidden = b'{"ty\\u0070e":"response\\u002ecreate","model":"m\\u0031"}'
        demand = socket.copy.asked(hidden)
        self.assertEqual((demand.inference, demand.model), (True, "m1"))
        twice = b'{"type":"session.update","type":"response.create"}'
        self.assertTrue(socket.copy.asked(twice).inference)

    def test_two_models_are_ambiguous(self) -> None:
        """Nobody knows which one works."""
        self.assertEqual(
            Socket().create(model="a", response={"model": "b"}).unreadable,
            "ambiguous_model",
        )

    def test_what_cannot_be_read_is_said(self) -> None:
        """A guard decides what to do with it."""
        socket = Socket()
        self.assertEqual(socket.copy.asked(b"\xff\xfe").unreadable, "not_json")
        self.assertEqual(socket.ask(type=5).unreadable, "not_json")
        self.assertEqual(socket.create(model=5).unreadable, "bad_model")
        self.assertEqual(
            socket.ask(type="session.update", session={"model": "a\0"}).unreadable,
            "ambiguous_model",
        )


class RealtimeTests(SynchronousTestCase):
    def test_audio_is_counted_once(self) -> None:
        """What was cached of it is cached, and no audio."""
        socket = Socket()
        socket.tell(type="session.created", session={"model": "gpt-realtime"})
        usage = {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        }
        socket.tell(type="response.created", response={"id": "r1"})
        for _ in range(9):
            socket.tell(
                type="response.output_audio.delta", response_id="r1", delta="A" * 3200
            )
        socket.tell(
            type="response.done",
            response={"id": "r1", "status": "completed", "usage": usage},
        )
        record = socket.records[0]
        self.assertEqual(
            record.usage,
            Usage(
                input=68,
                cached=64,
                output=121,
                audio_input=9,
                audio_output=91,
                inclusive=True,
            ),
        )
        self.assertEqual((record.model, record.state), ("gpt-realtime", "completed"))
        self.assertLess(record.said, 100)

    def test_a_turn_that_was_interrupted_says_why(self) -> None:
        """The user has spoken."""
        socket = Socket()
        details = {"type": "cancelled", "reason": "turn_detected"}
        socket.event("done", "r1", status="cancelled", status_details=details)
        record = socket.records[0]
        self.assertEqual((record.state, record.stop), ("incomplete", "turn_detected"))

    def test_an_error_does_not_end_a_response(self) -> None:
        """Most of them are about a message; with nothing begun it answers the demand."""
        socket = Socket()
        socket.create()
        socket.event("created", "r1")
        socket.tell(
            type="error", event_id="e1", error={"type": "invalid_request_error"}
        )
        self.assertEqual((len(socket.copy.running), socket.records), (1, []))

    def test_a_transcript_has_a_record_of_its_own(self) -> None:
        """Another model made it; also while a response is under way."""
        socket = Socket()
        socket.event("created", "r1")
        for _ in range(3):
            socket.tell(type="response.output_text.delta", response_id="r1", delta="x")
        usage = {"type": "tokens", "input_tokens": 17, "output_tokens": 4}
        kind = "conversation.item.input_audio_transcription.completed"
        socket.tell(type=kind, item_id="i1", transcript="x", usage=usage)
        socket.tell(type=kind, item_id="i2", usage={})
        self.assertEqual([figures(r)[0] for r in socket.records], ["i1"])


class LiveTests(SynchronousTestCase):
    def setup(self) -> Socket:
        """A session that is set up."""
        socket = Socket()
        demand = socket.ask(
            setup={"model": "models/live-1", "generationConfig": {"maxOutputTokens": 9}}
        )
        self.assertEqual((demand.inference, demand.model), (False, "models/live-1"))
        socket.tell(setupComplete={})
        return socket

    def turn(self, socket: Socket) -> Demand:
        """The agent says something."""
        part = {"role": "user", "parts": [{"text": "Good day"}]}
        return socket.ask(clientContent={"turns": [part], "turnComplete": True})

    def say(self, socket: Socket, **more: Any) -> None:
        """The model says something."""
        turn = {"modelTurn": {"parts": [{"text": "Good day"}]}, **more}
        socket.tell(serverContent=turn)

    def test_each_turn_is_a_record(self) -> None:
        """With the figures beside its end, or right after it."""
        socket = self.setup()
        told = {"promptTokenCount": 20, "responseTokenCount": 8, "totalTokenCount": 28}
        demand = self.turn(socket)
        self.assertEqual((demand.inference, demand.max_output), (True, 9))
        for _ in range(5):
            self.say(socket)
        socket.tell(serverContent={"turnComplete": True}, usageMetadata=told)
        self.turn(socket)
        self.say(socket)
        socket.tell(serverContent={"turnComplete": True, "interrupted": True})
        socket.tell(usageMetadata=told)
        self.assertEqual(
            [figures(r) for r in socket.records], [("", 1, 20, 8), ("", 2, 20, 8)]
        )
        stops = [(record.stop, record.model) for record in socket.records]
        self.assertEqual(
            stops,
            [("turn_complete", "models/live-1"), ("interrupted", "models/live-1")],
        )

    def test_a_turn_without_figures_is_estimated(self) -> None:
        """Once the next one begins, or the socket is over."""
        socket = self.setup()
        for _ in range(2):
            self.say(socket, turnComplete=True)
        self.say(socket)
        socket.copy.end("upstream_reset")
        gaps = [(record.gap, record.estimated) for record in socket.records]
        self.assertEqual(gaps, [("no_usage", True)] * 2 + [("upstream_reset", True)])

    def test_speech_is_no_demand_of_its_own(self) -> None:
        """The model answers when it hears an end; a tool's output is one."""
        socket = self.setup()
        self.assertFalse(
            socket.ask(realtimeInput={"audio": {"data": "AAAA"}}).inference
        )
        self.assertFalse(socket.ask(clientContent={"turns": []}).inference)
        self.say(socket)
        self.assertTrue(socket.ask(toolResponse={"functionResponses": []}).inference)
        self.assertEqual(socket.copy.waiting, 0)
        socket.tell(toolCall={"functionCalls": []})
        self.assertEqual(len(socket.copy.running), 1)

    def test_both_spellings_of_google_s_names(self) -> None:
        """Its SDK for Python asks with underscores; and any name may be written in escapes."""
        socket = self.setup()
        for message, inference in (
            (b'{"client_content":{"turns":[],"turnComplete":true}}', True),
            (b'{"client_content":{"turns":[],"turn_complete":true}}', True),
            (b'{"clientContent":{"turn_complete": true }}', True),
            (b'{"client\\u0043ontent":{"turnComplete":true}}', True),
            (b'{"client_content":{"turns":[]}}', False),
            (b'{"tool_response":{"functionResponses":[]}}', True),
            (b'{"clientContent":{},"client_content":{"turnComplete":true}}', True),
            (b'{"clientContent":{},"toolResponse":{}}', True),
            (b'{"realtime_input":{"audio":{"data":"AAAA"}}}', False),
            (b'{"clientContent":{"turnComplete":"true"}}', True),
            (b'{"clientContent":{"turnComplete":false,"turn_complete":null}}', False),
        ):
            demand = socket.copy.asked(message)
            self.assertEqual(demand.inference, inference, message)
            self.assertEqual(demand.model, "models/live-1", message)

    def test_a_type_hides_nothing(self) -> None:
        """Google might pass over it, and OpenAI over the rest: nobody can tell whose it is."""
        socket = self.setup()
        for kind in ("x", "response.create", "session.update"):
            for said in LIVE:
                demand = socket.ask(type=kind, **said)
                self.assertEqual(demand.unreadable, "ambiguous_model")


class AskedTests(SynchronousTestCase):
    """What asked for a response is known from the very demand."""

    def test_a_record_knows_what_asked_for_it(self) -> None:
        """Also where the same was asked twice, and one of the two was refused."""
        told: list[Demand | None] = []
        copy = SocketCopy(lambda record: told.append(copy.answered))
        message = b'{"type":"response.create","model":"m","input":"x"}'
        first, refused = copy.asked(message), copy.asked(message)
        copy.refused()
        created = {"type": "response.created", "response": {"id": "r", "model": "m"}}
        copy.told(msgspec.json.encode(created))
        ((demand, record),) = copy.under_way
        self.assertIs(demand, first)
        self.assertIsNot(demand, refused)
        self.assertEqual(record.id, "r")
        copy.end("agent_gone")
        self.assertEqual(len(told), 1)
        self.assertIs(told[0], first)
