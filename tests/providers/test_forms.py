"""Tests of ``apiproxy.providers.forms``."""

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.forms import UnreadableForm, read_form
from tests.kit.hypothesis_profile import STEADY

TYPE = b"multipart/form-data; boundary=XX"


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    """One part of a form."""
    head = b'Content-Disposition: form-data; name="' + name + b'"' + more
    return b"--XX\r\n" + head + b"\r\n\r\n" + value + b"\r\n"


class FormTests(SynchronousTestCase):
    def test_fields_are_read_and_files_are_not(self) -> None:
        """Whatever is in the file."""
        audio = part(b"file", b'\r\n--XY\r\nname="model"', b'; filename="a.wav"')
        body = b"pre" + b"\r\n" + audio + part(b"model", b"whisper-1") + b"--XX--\r\n"
        self.assertEqual(read_form(TYPE, body), {"model": b"whisper-1"})
        quoted = b'multipart/form-data; charset=x; boundary="XX"'
        self.assertEqual(read_form(quoted, body), {"model": b"whisper-1"})

    def test_names_are_compared_without_their_case(self) -> None:
        """Two of them with the same value are one."""
        body = part(b"model", b"a") + part(b"Model", b"a") + b"--XX--"
        self.assertEqual(read_form(TYPE, body), {"model": b"a"})

    def test_long_fields_are_left_out(self) -> None:
        """They are no names."""
        body = part(b"prompt", b"x" * 70_000) + part(b"model", b"a") + b"--XX--"
        self.assertEqual(read_form(TYPE, body), {"model": b"a"})

    def test_what_can_be_read_in_two_ways_is_not_read(self) -> None:
        """A guard would see one model and the provider the other."""
        good = part(b"model", b"a") + b"--XX--"
        for kind, body in (
            (b"multipart/form-data", good),
            (TYPE + b"; boundary=YY", good),
            (TYPE, b""),
            (TYPE, part(b"model", b"a")),
            (TYPE, part(b"model", b"a") + part(b"MODEL", b"b") + b"--XX--"),
            (TYPE, part(b"a", b"") * 300 + b"--XX--"),
            (TYPE, part(b"model", b"a", b"; name=b") + b"--XX--"),
            (TYPE, part(b"model", b"a", b"; name*=UTF-8''b") + b"--XX--"),
            (
                TYPE,
                part(b"model", b"a", b"\r\nContent-Disposition: form-data; name=b")
                + b"--XX--",
            ),
            (TYPE, part(b"model", b"a", b"\r\n folded") + b"--XX--"),
            (
                TYPE,
                part(b"model", b"a", b"\r\nContent-Transfer-Encoding: base64")
                + b"--XX--",
            ),
            (TYPE, b"--XX\r\nno end of head--XX--"),
            (TYPE, b"--XXa\r\n\r\nvalue\r\n--XX--"),
        ):
            self.assertRaises(UnreadableForm, read_form, kind, body)

    def test_a_part_without_a_name_is_empty(self) -> None:
        """It cannot be the model."""
        body = b"--XX\r\nContent-Type: text/plain\r\n\r\nvalue\r\n--XX--"
        self.assertEqual(read_form(TYPE, body), {"": b"value"})

    @given(body=st.binary(max_size=200))
    @STEADY
    def test_any_bytes_are_taken(self, body: bytes) -> None:
        """They give fields or are unreadable."""
        try:
            read_form(TYPE, b"--XX\r\n" + body + b"\r\n--XX--")
        except UnreadableForm:
            return
