"""A file of lines that several processes append to."""

import resource
import stat
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest, mock

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.telemetry.journal import Journal

WRITER = """
import sys
from pathlib import Path
from apiproxy.telemetry.journal import Journal
path, name, count = sys.argv[1:]
journal = Journal(Path(path), most=2000, keep=1000)
for number in range(int(count)):
    line = f"{name} {number} " + "x" * (number % 50) + chr(10)
    assert journal.append(line.encode() * 3) is None
"""


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A directory that is not there yet."""
        self.path = Path(self.mktemp()).absolute() / "deep" / "usage.jsonl"

    def journal(self, most: int = 1000, keep: int = 2) -> Journal:
        journal = Journal(self.path, most=most, keep=keep)
        self.addCleanup(journal.close)
        return journal

    def earlier(self, number: int) -> bytes:
        return Path(f"{self.path}.{number}").read_bytes()

    def test_open(self) -> None:
        """The file is there, empty, before anything is written; others cannot read it."""
        journal = self.journal()
        self.assertIn("closed", repr(journal))
        journal.open()
        self.assertIn("open", repr(journal))
        self.assertEqual(self.path.read_bytes(), b"")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode) & ~0o640, 0)

    def test_append(self) -> None:
        """What was there before stays."""
        self.journal().append(b"a\n")
        self.journal().append(b"b\n")
        self.assertEqual(self.path.read_bytes(), b"a\nb\n")

    def test_full(self) -> None:
        """A full file gets another name, and the oldest goes."""
        journal = self.journal(most=4)
        for line in (b"1\n", b"2\n", b"3\n", b"4\n", b"5\n", b"6\n", b"7\n"):
            self.assertIsNone(journal.append(line))
        self.assertEqual(self.path.read_bytes(), b"7\n")
        self.assertEqual((self.earlier(1), self.earlier(2)), (b"5\n6\n", b"3\n4\n"))
        self.assertEqual(len(list(self.path.parent.iterdir())), 3)

    def test_no_earlier_files(self) -> None:
        """Who keeps none begins anew."""
        journal = self.journal(most=2, keep=0)
        journal.append(b"1\n")
        journal.append(b"2\n")
        self.assertEqual(self.path.read_bytes(), b"2\n")
        self.assertEqual(len(list(self.path.parent.iterdir())), 1)

    def test_logrotate(self) -> None:
        """Somebody else may rename the file or remove it; the next line makes a new one."""
        journal = self.journal()
        journal.append(b"1\n")
        self.path.rename(f"{self.path}.old")
        journal.append(b"2\n")
        self.assertEqual(self.path.read_bytes(), b"2\n")
        self.path.unlink()
        journal.append(b"3\n")
        self.assertEqual(self.path.read_bytes(), b"3\n")

    def test_half_a_line(self) -> None:
        """What a process left unfinished that was killed spoils no other line."""
        journal = self.journal()
        journal.append(b"1\n")
        self.path.write_bytes(b'1\n{"half')
        journal.append(b"2\n")
        self.assertEqual(self.path.read_bytes(), b'1\n{"half\n2\n')

    def test_disk_full(self) -> None:
        """A disk that takes half a line has it cut off again, and then nothing is written."""
        if not hasattr(resource, "RLIMIT_FSIZE"):
            raise SkipTest("no RLIMIT_FSIZE here")
        code = (
            "import resource, signal, sys; from pathlib import Path;"
            "from apiproxy.telemetry.journal import Journal;"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "journal = Journal(Path(sys.argv[1]), most=10**6, keep=1);"
            "journal.append(b'1234567\\n');"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (12, 12));\n"
            "try: journal.append(b'abcdefg\\n')\n"
            "except OSError as error: print(error.errno)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, str(self.path)], capture_output=True, text=True
        )
        self.assertEqual((ran.stdout, ran.stderr), ("27\n", ""))
        self.assertEqual(self.path.read_bytes(), b"1234567\n")

    def test_it_cannot_be_turned_over(self) -> None:
        """Then the file grows, no line is lost, and the caller hears of it."""
        journal = self.journal(most=2, keep=1)
        journal.append(b"1\n")
        Path(f"{self.path}.1").mkdir()
        self.assertIsInstance(journal.append(b"2\n"), OSError)
        self.assertEqual(self.path.read_bytes(), b"1\n2\n")

    def test_a_disk_that_does_not_say(self) -> None:
        """Lines count as written; only what can be helped is told."""
        journal = self.journal()
        with mock.patch("os.fdatasync", side_effect=OSError(22, "Invalid argument")):
            self.assertIsNone(journal.append(b"1\n"))
        with mock.patch("os.fdatasync", side_effect=OSError(5, "I/O error")):
            self.assertIsInstance(journal.append(b"2\n"), OSError)
        self.assertEqual(self.path.read_bytes(), b"1\n2\n")

    def test_it_is_always_turned_over(self) -> None:
        """Somebody who takes the file away all the time does not hold us for ever."""
        journal = self.journal()
        with mock.patch.object(Journal, "_is_current", return_value=False):
            self.assertRaises(OSError, journal.append, b"1\n")

    def test_several_processes(self) -> None:
        """They lose no line, cut none, and keep the order of each, over many turns."""
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(self.path), name, "200"]
            )
            for name in "abc"
        ]
        self.assertEqual([writer.wait(60) for writer in writers], [0, 0, 0])
        files = sorted(
            self.path.parent.glob("usage.jsonl.*"),
            key=lambda path: -int(path.suffix[1:]),
        )
        self.assertGreater(len(files), 5)
        seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}
        for path in (*files, self.path):
            for line in path.read_text().splitlines():
                name, number, rest = line.split(" ")
                self.assertEqual(rest, "x" * (int(number) % 50))
                seen[name].append(int(number))
        wanted = [number for number in range(200) for _ in range(3)]
        self.assertEqual(seen, dict.fromkeys("abc", wanted))
