"""Tests of ``apiproxy.ledger.presence``."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.ledger.presence import Presence, forget, gone, tokens


class PresenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="apiproxy-ledger-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_who_is_there_can_be_seen(self) -> None:
        """Also by the process itself, and until the end."""
        presence = Presence(self.folder, "me")
        self.assertEqual(repr(presence), "<Presence me>")
        self.assertEqual(tokens(self.folder), ["me"])
        self.assertFalse(gone(self.folder, "me"))
        forget(self.folder, "me")
        self.assertFalse(gone(self.folder, "me"))
        presence.end()
        self.assertTrue(gone(self.folder, "me"))
        self.assertEqual(tokens(self.folder), [])

    def test_who_was_killed_is_gone(self) -> None:
        """The kernel gives the lock back, and the file can be removed."""
        presence = Presence(self.folder, "me")
        os.close(presence._fd)
        self.assertTrue(gone(self.folder, "me"))
        forget(self.folder, "me")
        self.assertEqual(tokens(self.folder), [])
        forget(self.folder, "me")

    def test_file_that_is_removed_before_it_is_locked_is_made_again(self) -> None:
        """Somebody has tidied up in between."""
        real, path = fcntl.flock, self.folder / "me.owner"
        done: list[int] = []

        def tidied(fd: int, how: int) -> None:
            if not done:
                path.unlink()
                if len(done) == 0:
                    path.touch()  # and a third one has made it anew
            done.append(fd)
            real(fd, how)

        self.patch(fcntl, "flock", tidied)
        presence = Presence(self.folder, "me")
        self.assertEqual(len(done), 2)
        self.assertFalse(gone(self.folder, "me"))
        presence.end()

    def test_lock_that_cannot_be_had_leaves_nothing_open(self) -> None:
        """On a file system that has no locks, for one."""

        def broken(*_: Any) -> None:
            raise OSError("no locks here")

        self.patch(fcntl, "flock", broken)
        with self.assertRaises(OSError):
            Presence(self.folder, "me")
