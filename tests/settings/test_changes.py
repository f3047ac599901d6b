"""Tests of ``apiproxy.settings.changes``: a rotated key is found without a signal."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.changes import Changes, NotWatched, read_ordinary
from apiproxy.settings.origin import Origin


class ChangesTests(SynchronousTestCase):
    """Files hold what ``self.files`` says."""

    def setUp(self) -> None:
        self.files: dict[bytes, bytes | None] = {b"/a": b"one", b"/b": b"key"}
        self.origin = Origin({}, None, {b"/a": b"one", b"/b": b"key"})
        self.changes = Changes(self.files.__getitem__)

    def found(self) -> bool:
        return self.changes.found(self.origin)

    def test_nothing_has_changed(self) -> None:
        """However often it is looked."""
        self.assertEqual([self.found() for _ in range(3)], [False] * 3)
        self.assertEqual(repr(self.changes), "<Changes, 0 found>")

    def test_a_file_that_is_being_written(self) -> None:
        """Only what is there twice counts."""
        self.files[b"/a"] = b"tw"
        self.assertFalse(self.found())
        self.files[b"/a"] = b"two"
        self.assertFalse(self.found())
        self.assertTrue(self.found())

    def test_what_made_no_sense_is_tried_once(self) -> None:
        """The settings were not put in force, so the file still differs."""
        self.files[b"/a"] = b""
        self.assertEqual([self.found() for _ in range(4)], [False, True, False, False])
        self.files[b"/a"] = b"three"
        self.assertEqual([self.found() for _ in range(3)], [False, True, False])

    def test_a_file_that_is_gone(self) -> None:
        """Is a change as any other."""
        self.files[b"/b"] = None
        self.assertEqual([self.found() for _ in range(3)], [False, True, False])

    def test_what_is_in_force_is_compared_with(self) -> None:
        """After it was read, the new key is the old one."""
        self.files[b"/a"] = b"two"
        self.assertEqual([self.found() for _ in range(2)], [False, True])
        self.origin = Origin({}, None, {b"/a": b"two", b"/b": b"key"})
        self.assertFalse(self.found())
        self.files[b"/a"] = b"one"
        self.assertEqual([self.found() for _ in range(2)], [False, True])


class OrdinaryTests(SynchronousTestCase):
    """What is looked at."""

    def path(self) -> bytes:
        return os.fsencode(os.path.abspath(self.mktemp()))

    def test_an_ordinary_file(self) -> None:
        """Or one behind a link, as Kubernetes mounts them."""
        path, link = self.path(), self.path()
        Path(os.fsdecode(path)).write_bytes(b"key\n")
        os.symlink(path, link)
        self.assertEqual(read_ordinary(path), b"key\n")
        self.assertEqual(read_ordinary(link), b"key\n")

    def test_no_file(self) -> None:
        """There may be one again."""
        self.assertIsNone(read_ordinary(self.path()))

    def test_a_pipe(self) -> None:
        """It would never answer, or be empty the second time."""
        path = self.path()
        os.mkfifo(path)
        self.assertRaises(NotWatched, read_ordinary, path)
        origin = Origin({}, None, {path: b"key"})
        self.assertEqual([Changes().found(origin) for _ in range(3)], [False] * 3)

    def test_a_huge_file(self) -> None:
        """Nobody reads that every few seconds."""
        path = self.path()
        with open(path, "wb") as file:
            file.truncate(1 << 30)
        self.assertRaises(NotWatched, read_ordinary, path)
