"""The file of the control socket."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import cast

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Protocol, ServerFactory

from apiproxy.admin.control.door import Door, SocketTaken
from apiproxy.wire.reactor import Reactor
from tests.kit.case import LoopbackCase

DIES = """
import fcntl, os, socket, sys
lock = os.open(sys.argv[1] + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
line = socket.socket(socket.AF_UNIX)
line.bind(sys.argv[1])
line.listen()
os.kill(os.getpid(), 9)
"""


class Nothing(ServerFactory[Protocol]):
    """Serves nothing."""

    protocol = Protocol


class DoorTests(LoopbackCase):
    def setUp(self) -> None:
        """A directory, whose path is short as that of a socket must be."""
        super().setUp()
        folder = Path(os.path.relpath(self.mktemp()))
        folder.mkdir(parents=True)
        self.path = str(folder / "control.sock")

    def door(self) -> Door:
        door = Door(self.path)
        self.addCleanup(self.ended, door.close)
        return door

    def open(self, door: Door) -> None:
        door.open(cast(Reactor, self.reactor), Nothing())

    def refusal(self) -> str:
        with self.assertRaises(SocketTaken) as caught:
            self.open(self.door())
        return str(caught.exception)

    async def test_mode(self) -> None:
        """Only its owner can open it, whatever the umask; it goes when it is closed."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        door = self.door()
        self.open(door)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        await door.close()
        self.assertFalse(os.path.exists(self.path))

    async def test_nobody_gets_in_before(self) -> None:
        """When the mode is set, nobody can connect yet."""
        seen: list[object] = []
        chmod = os.chmod

        def watching(path: object, mode: int) -> None:
            with socket.socket(socket.AF_UNIX) as line:
                seen.append(line.connect_ex(self.path))
            chmod(path, mode)  # type: ignore[arg-type]

        self.patch(os, "chmod", watching)
        self.open(self.door())
        self.assertEqual(seen, [111])

    async def test_a_dead_process(self) -> None:
        """What it left behind, killed, is replaced."""
        killed = subprocess.run([sys.executable, "-c", DIES, self.path], timeout=60)
        self.assertEqual(killed.returncode, -9)
        self.assertTrue(os.path.exists(self.path))
        self.open(self.door())
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.path)

    async def test_a_live_process(self) -> None:
        """It keeps its socket."""
        first = self.door()
        self.open(first)
        self.assertIn("another apiproxy listens there", self.refusal())
        await first.close()
        self.open(self.door())

    async def test_somebody_else(self) -> None:
        """A server that knows nothing of our lock keeps its socket, too."""
        with socket.socket(socket.AF_UNIX) as line:
            line.bind(self.path)
            line.listen()
            self.assertIn("something else listens there", self.refusal())
        self.open(self.door())

    async def test_no_socket(self) -> None:
        """A file that is none stays, as does what a link points to."""
        Path(self.path).write_text("precious")
        self.assertIn("no socket", self.refusal())
        self.assertEqual(Path(self.path).read_text(), "precious")
        os.rename(self.path, f"{self.path}.file")
        os.symlink(f"{self.path}.file", f"{self.path}")
        self.assertIn("no socket", self.refusal())

    async def test_no_directory(self) -> None:
        """The reason is the system's."""
        self.path = "/nowhere/control.sock"
        self.assertEqual(self.refusal(), f"{self.path}: No such file or directory")
        await self.door().close()

    async def test_it_cannot_be_bound(self) -> None:
        """The lock is given back, so that another attempt is told the same."""
        reason = CannotListenError(None, self.path, OSError(13, "Permission denied"))

        def refuse(*args: object, **options: object) -> None:
            raise reason

        self.patch(self.reactor, "listenUNIX", refuse)
        for _ in range(2):
            self.assertEqual(self.refusal(), f"{self.path}: Permission denied")
