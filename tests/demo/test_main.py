"""``apiproxy demo``, as a person calls it."""

import os
import signal
import subprocess
import sys

from click.testing import CliRunner
from twisted.internet import task
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from apiproxy.demo.main import command
from apiproxy.demo.squid import find_squid
from apiproxy.demo.story import perform
from tests.demo.parts import TUNNEL

DEMO = [sys.executable, "-c", "from apiproxy.cli.main import main; main()", "demo"]


def demonstrate(*options: str) -> str:
    done = subprocess.run(
        [*DEMO, "--once", *options],
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def hear_ctrl_c() -> None:
    """A job in the background of a shell is started with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class DemoTests(SynchronousTestCase):
    def check(self, text: str, log: str) -> None:
        """Three conversations, each with a placeholder here and the real key there."""
        self.assertEqual(text.count("Authorization: Bearer placeholder"), 3)
        self.assertEqual(text.count("*  the real key"), 3)
        self.assertIn("got 200: The key was right", text)
        self.assertIn("reads: The key was right", text)
        self.assertIn("closed it: 1000", text)
        self.assertRegex(text, log + TUNNEL.pattern)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("sk-demo", text)

    def test_with_squid(self) -> None:
        """Where Squid is installed, all of it goes through Squid."""
        if find_squid() is None:
            raise SkipTest("there is no Squid; apt-get install squid")
        text = demonstrate()
        self.assertIn("a real Squid", text)
        self.check(text, "TCP_TUNNEL/200 ")

    def test_with_the_stand_in(self) -> None:
        """Without Squid it works as well, and says so."""
        text = demonstrate("--stand-in")
        self.assertIn("the demo's own small CONNECT proxy, not Squid", text)
        self.check(text, "stand-in  200 ")

    def ended_by(self, *signals: int) -> bytes:
        """What the demo still says when these come at once; it leaves in order."""
        said: list[bytes] = []
        with subprocess.Popen(
            [*DEMO, "--stand-in"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=hear_ctrl_c,
        ) as demo:
            assert demo.stdout is not None
            for line in demo.stdout:
                said.append(line)
                if line.startswith(b"apiproxy's log"):
                    said.clear()
                    for number in signals:
                        os.kill(demo.pid, number)
            self.assertEqual(demo.wait(30), 0)
        return b"".join(said)

    def test_ctrl_c(self) -> None:
        """It stays until Ctrl-C, and leaves in order."""
        self.ended_by(signal.SIGINT)

    def test_twice(self) -> None:
        """``timeout make run`` ends the group, and make its child: that is no error."""
        for twice in (signal.SIGTERM, signal.SIGINT):
            self.assertNotIn(b"exception", self.ended_by(twice, twice, signal.SIGTERM))

    def test_options(self) -> None:
        """The options reach the story."""
        calls: list[object] = []
        self.patch(
            task, "react", lambda main, arguments: calls.append((main, arguments))
        )
        CliRunner().invoke(command, ["--once"])
        CliRunner().invoke(command, ["--stand-in"])
        self.assertEqual(calls, [(perform, (True, False)), (perform, (False, True))])
