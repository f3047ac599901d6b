"""A folder for the ledger that workers share."""

import os
import shutil
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.workers import folder
from apiproxy.workers.folder import PrivateFolder


class PrivateFolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A place for folders."""
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()
        self.patch(folder, "PLACES", ("/nowhere/at/all", str(self.place)))

    def made(self) -> PrivateFolder:
        made = PrivateFolder()
        made.make()
        self.addCleanup(made.remove)
        return made

    def test_its_life(self) -> None:
        """Only we can look into it; in the end nothing is left."""
        made = self.made()
        path = Path(made.path)
        self.assertEqual(path.parent, self.place)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)
        self.assertEqual(repr(made), f"<PrivateFolder {path}>")
        (path / "ledger.sqlite").touch()
        made.remove()
        made.remove()
        self.assertEqual(list(self.place.iterdir()), [])
        self.assertEqual(repr(made), "<PrivateFolder nowhere>")

    def test_nowhere(self) -> None:
        """There is no place for it, and that is said."""
        self.assertRaises(OSError, PrivateFolder(["/nowhere/at/all"]).make)
        self.assertRaises(OSError, PrivateFolder([]).make)

    def test_what_was_left_behind(self) -> None:
        """A front that was killed holds nothing any more; one that lives keeps its own."""
        living = self.made()
        dead = self.place / "apiproxy-ledger-dead"
        dead.mkdir()
        (dead / "front.lock").touch()
        young = self.place / "apiproxy-ledger-young"
        young.mkdir()  # its front has no lock yet
        made = self.made()
        left = sorted(str(path) for path in self.place.iterdir())
        self.assertEqual(left, sorted([living.path, made.path, str(young)]))

    def test_one_that_cannot_be_removed(self) -> None:
        """It is said in the log, and the service ends all the same."""
        made = self.made()

        def fails(path: Path) -> None:
            raise OSError("busy")

        self.patch(shutil, "rmtree", fails)
        made.remove()
        self.assertTrue(os.listdir(self.place))
