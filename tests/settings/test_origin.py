"""What settings are made of."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.origin import Origin


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
