"""The demonstration from beginning to end."""

import signal
import sys
import traceback
from io import TextIOWrapper

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner

from apiproxy.demo.conversations import Conversations
from apiproxy.demo.screen import DemoFailed, Screen
from apiproxy.demo.stage import HOST, Stage
from apiproxy.telemetry.twisted_events import TwistedEvents
from apiproxy.wire.reactor import Reactor

_ENDING = (signal.SIGTERM, signal.SIGINT)


async def perform(reactor: Reactor, once: bool, stand_in: bool) -> None:
    """Tell it, and heed signals; see ``tell``."""
    reactor.callWhenRunning(_heed_signals, reactor)  # after its own, and in their place
    await tell(reactor, once, stand_in)


async def tell(reactor: Reactor, once: bool, stand_in: bool) -> None:
    """Tell it on standard output.

    Args:
        reactor: the real one.
        once: end after the conversations instead of waiting for Ctrl-C.
        stand_in: do without Squid.

    Raises:
        SystemExit: 1, after it was said what went wrong.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for a terminal that lacks arrows
    stage = Stage(reactor)
    globalLogBeginner.beginLoggingTo(
        [TwistedEvents(stage.log)], redirectStandardIO=False
    )
    show = Show(reactor, stage, Screen(sys.stdout))
    try:
        await show.run(once=once, stand_in=stand_in)
    except DemoFailed as failed:
        sys.stderr.write(f"apiproxy demo: {failed}\n")
        raise SystemExit(1) from None
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write("apiproxy demo: this is a bug of the demo, or of apiproxy\n")
        raise SystemExit(1) from error


def _heed_signals(reactor: Reactor) -> None:
    """End at a signal; a second one, as ``timeout make run`` sends it, changes nothing."""

    def end(*_: object) -> None:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        reactor.callFromThread(reactor.stop)

    for number in _ENDING:
        signal.signal(number, end)


class Show:
    """One demonstration."""

    def __init__(self, reactor: Reactor, stage: Stage, screen: Screen) -> None:
        self._reactor = reactor
        self._stage = stage
        self._screen = screen

    async def run(self, *, once: bool, stand_in: bool) -> None:
        """Show it; ends early, and in order, when the reactor is stopped.

        Raises:
            DemoFailed: something did not go as it should.
        """
        ended: Deferred[None] = Deferred()
        story = Deferred.fromCoroutine(self._story(once, stand_in))

        def stop() -> Deferred[None]:
            story.cancel()
            return ended

        self._reactor.addSystemEventTrigger("before", "shutdown", stop)
        try:
            await story
        except CancelledError:
            self._screen.line()  # the terminal has ^C on this one
        finally:
            await self._stage.clear()
            ended.callback(None)

    async def _story(self, once: bool, stand_in: bool) -> None:
        await deferLater(self._reactor, 0)  # the reactor must run before Squid does
        await self._stage.build(stand_in=stand_in)
        self._introduce()
        await Conversations(self._stage, self._screen, self._reactor).hold()
        self._screen.line("\nThree conversations, and the agent never held a key.")
        if not once:
            self._invite()
            await Deferred()

    def _introduce(self) -> None:
        stage, say = self._stage, self._screen.said
        name = stage.proxy.name
        self._screen.title("apiproxy demo: all of it on 127.0.0.1, nothing leaves it")
        self._screen.line(
            f"\n  agent ─────────────▶ apiproxy ──────────▶ {name} ──────▶ provider\n"
            "        a placeholder            CONNECT, then TLS with the real key\n"
        )
        address = f"127.0.0.1:{stage.provider.port}"
        say("provider", f"https://{HOST} is {address} here, with the demo's own CA")
        say(name, stage.proxy.what, f"at {stage.proxy.url}")
        ports = [f"{name} {port}" for name, port in stage.ports.items()]
        lines = ", ".join(ports[:3]), ", ".join(ports[3:])
        say("apiproxy", "listens on 127.0.0.1 for", *lines)
        for remark in stage.remarks:
            self._screen.line(f"  note: {remark}")

    def _invite(self) -> None:
        """Say what can be done now, and show the log from now on."""
        base = f"http://127.0.0.1:{self._stage.ports['openai']}"
        other = f"http://127.0.0.1:{self._stage.ports['anthropic']}"
        self._screen.line(
            "All listeners stay up until Ctrl-C. From another terminal, without a key:\n\n"
            f"  curl {base}/v1/models\n"
            f"  curl -N {base}/v1/responses"
            """ -d '{"model": "demo-1", "input": "hello", "stream": true}'\n"""
            f"  curl {base}/health\n"
            f"  curl {other}/v1/models        # no key for it: says what to set\n"
            "  CODEX_API_KEY=placeholder codex exec --skip-git-repo-check -m gpt-5.5"
            f""" -c 'openai_base_url="{base}/v1"' hello </dev/null\n\n"""
            "For real: OPENAI_API_KEY=... twistd -n --pidfile= apiproxy\n\n"
            "apiproxy's log from now on:"
        )
        self._stage.on_line = lambda line: self._screen.line(line.decode().rstrip("\n"))
