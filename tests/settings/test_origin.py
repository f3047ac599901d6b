"""What settings are made of."""

import os

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Settings
from apiproxy.settings.origin import Origin, read_once


class OriginTests(SynchronousTestCase):
    def test_it_travels(self) -> None:
        """With all there is, also what is no text."""
        environ = {"A": "b", "ODD": "\udcff"}
        origin = Origin.of(environ, b"grace = 1")
        read = origin.noting(lambda path: path.encode() + b"!")
        self.assertEqual(read("/key"), b"/key!")
        data = msgspec.msgpack.encode(origin)
        there = msgspec.msgpack.decode(data, type=Origin)
        self.assertEqual(there, origin)
        self.assertEqual(there.variables(), environ)
        self.assertEqual((there.toml, there.read("/key")), (b"grace = 1", b"/key!"))
        self.assertRaises(FileNotFoundError, there.read, "/other")

    def test_a_file_that_cannot_be_read(self) -> None:
        """It is not there for others, either."""
        origin = Origin.of({}, None)

        def read(path: str) -> bytes:
            raise PermissionError

        self.assertRaises(PermissionError, origin.noting(read), "/key")
        self.assertRaises(FileNotFoundError, origin.read, "/key")

    def test_it_is_not_shown(self) -> None:
        """There are keys in it."""
        origin = Origin.of({"OPENAI_API_KEY": "hunter2"}, b"hunter2")
        self.assertEqual(repr(origin), "<Origin 1 variables, 0 files>")


class DescriptorTests(SynchronousTestCase):
    """What stands behind a descriptor can be read once only."""

    def test_a_descriptor_is_closed_and_remembered(self) -> None:
        """A file is read each time."""
        end, other = os.pipe()
        os.write(other, b"sk-piped")
        os.close(other)
        path = f"/dev/fd/{end}"
        origin = Origin.of({}, None)
        self.assertEqual(
            origin.noting(lambda name: read_once(name, None))(path), b"sk-piped"
        )
        self.assertRaises(OSError, os.fstat, end)
        self.assertEqual(read_once(path, origin), b"sk-piped")
        self.assertRaises(OSError, read_once, path, Origin.of({}, None))
        self.assertIn(b"Descriptor", read_once(__file__, origin))

    def test_what_is_no_descriptor(self) -> None:
        """Standard ones are not for keys, and the text is not repeated."""
        for number in ("0", "2", "x", "-3", "99999", "sk-key"):
            with self.assertRaises(ConfigurationError) as caught:
                Settings.read(
                    {"OPENAI_API_KEY_FD": number}, None, lambda path: b"k", lambda: "id"
                )
            (problem,) = caught.exception.problems
            self.assertTrue(problem.startswith("OPENAI_API_KEY_FD must be"))
            self.assertNotIn("sk-", problem)
