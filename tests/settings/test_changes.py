"""Tests of ``apiproxy.settings.changes``: a rotated key is found without a signal."""

import os
from pathlib import Path
from typing import Any

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
        """Whether something was found; it is what there is, then."""
        found = self.changes.found(self.origin)
        for path, held in found.items():
            self.assertEqual(held, self.files[path])
        return bool(found)

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

    def test_a_file_that_is_about_to_be_written(self) -> None:
        """Nobody loses a key because the new one is a long time coming."""
        for empty in (b"", b" \n"):
            self.files[b"/b"] = empty
            self.assertEqual([self.found() for _ in range(3)], [False] * 3)
        self.files[b"/b"] = b"new"
        self.assertEqual([self.found() for _ in range(2)], [False, True])

    def test_what_made_no_sense_is_tried_once(self) -> None:
        """The settings were not put in force, so the file still differs."""
        self.files[b"/a"] = b"no"
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

    def test_what_was_there_before_is_new_again(self) -> None:
        """Somebody went back with a signal, and then thought better of it."""
        self.files[b"/a"] = b"two"
        self.assertEqual([self.found() for _ in range(2)], [False, True])
        self.origin = Origin({}, None, {b"/a": b"one", b"/b": b"key"})
        self.assertEqual([self.found() for _ in range(3)], [True, False, False])

    def test_what_comes_back(self) -> None:
        """It is told of again, if it was something else in between."""
        for _ in range(2):
            self.files[b"/b"] = None
            self.assertEqual([self.found() for _ in range(3)], [False, True, False])
            self.files[b"/b"] = b"key"
            self.assertFalse(self.found())

    def test_descriptors_are_not_looked_at(self) -> None:
        """They were read and closed; by now their numbers may be those of anything."""
        for name in (b"/dev/fd/9", b"/proc/self/fd/9", b"/dev/stdin"):
            self.origin = Origin({}, None, {name: b"key"})
            for now in (None, b"a line of the log"):
                self.files[name] = now
                self.assertEqual([self.found() for _ in range(3)], [False] * 3)
        self.origin = Origin({}, None, {b"/dev/shm/key": b"key"})
        self.files[b"/dev/shm/key"] = b"new"
        self.assertEqual([self.found() for _ in range(2)], [False, True])

    def test_what_never_rests(self) -> None:
        """It is never found."""
        for number in range(10):
            self.files[b"/a"] = b"%d" % (number % 2)
            self.assertFalse(self.found())


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
        changes = Changes()
        self.assertEqual([changes.found(origin) for _ in range(3)], [{}] * 3)

    def test_a_file_that_becomes_a_pipe(self) -> None:
        """Between two steps of ours: nobody waits for what comes out of it."""
        path, pipe = self.path(), self.path()
        Path(os.fsdecode(path)).write_bytes(b"key")
        os.mkfifo(pipe)
        open_as_it_is = os.open

        def swap(*call: Any) -> int:
            os.replace(pipe, path)
            return open_as_it_is(*call)

        self.patch(os, "open", swap)
        self.assertRaises(NotWatched, read_ordinary, path)

    def test_a_folder(self) -> None:
        """There is nothing in it to be read."""
        path = self.path()
        os.mkdir(path)
        before = os.listdir("/dev/fd")
        self.assertRaises(NotWatched, read_ordinary, path)
        self.assertEqual(os.listdir("/dev/fd"), before)

    def test_a_huge_file(self) -> None:
        """Nobody reads that every few seconds."""
        path = self.path()
        with open(path, "wb") as file:
            file.truncate(1 << 30)
        self.assertRaises(NotWatched, read_ordinary, path)

    def test_a_file_that_grows(self) -> None:
        """It was small when we asked."""
        small, large = self.path(), self.path()
        Path(os.fsdecode(small)).write_bytes(b"key")
        with open(large, "wb") as file:
            file.truncate(1 << 30)
        told = os.stat(small)
        self.patch(os, "fstat", lambda descriptor: told)
        self.assertRaises(NotWatched, read_ordinary, large)
