"""Tests of bench.proc, on a proc made of files."""

import os
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import proc

_TAIL = "S {parent} 1 1 0 -1 4194560 100 0 0 0 {user} {system} 0 0 20 0 1 0 {start} 9 9"
_STATUS = "Name:\tx\nVmHWM:\t   9000 kB\nVmRSS:\t   {rss} kB\n"


class ProcTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()
        (self.root / "meminfo").write_text("not a process")

    def process(self, pid: int, parent: int, rss: int = 1000) -> None:
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        tail = _TAIL.format(parent=parent, user=20, system=5, start=700 + pid)
        (folder / "stat").write_text(f"{pid} (a (bad) name) {tail}")
        (folder / "status").write_text(_STATUS.format(rss=rss))
        (folder / "smaps_rollup").write_text(f"00-ff ---p\nRss: 1 kB\nPss: {rss} kB\n")

    def test_program_names_may_hold_anything(self) -> None:
        """Fields are counted from the last parenthesis."""
        text = f"7 (a) b (c)) {_TAIL.format(parent=3, user=11, system=22, start=1)}"
        self.assertEqual(proc.parse_parent(text), 3)

    def test_family_is_all_below(self) -> None:
        """Children and their children, nobody else."""
        for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
            self.process(pid, parent)
        self.assertEqual(proc.family(10, self.root), [10, 11, 12])

    def test_cpu_time_counts_threads_that_have_ended(self) -> None:
        """What a pool of threads has used is not forgotten with them."""
        before = proc.cpu_seconds(os.getpid())
        thread = threading.Thread(target=_spend, args=(0.02,))
        thread.start()
        thread.join()
        self.assertGreater(proc.cpu_seconds(os.getpid()) - before, 0.015)

    def test_stolen_time_is_told_from_all_time(self) -> None:
        """The eighth figure; guests' time is in the first two already."""
        (self.root / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 9\ncpu0 1 1\n")
        self.assertEqual(proc.steal(self.root), (8, 36))

    def test_core_is_busy_when_it_is_not_idle(self) -> None:
        """Nor waiting for a disk."""
        (self.root / "stat").write_text(
            "cpu  9 9\ncpu0 9 9\ncpu1 1 2 3 4 5 6 7 8 0 0\n"
        )
        self.assertEqual(proc.core_ticks(1, self.root), (27, 36))
        self.assertEqual(proc.core_ticks(7, self.root), (0, 0))

    def test_process_that_has_ended_has_used_nothing(self) -> None:
        """It is not an error to look too late."""
        self.assertEqual(proc._cpu_ns(2**22 + 1), 0)
        self.assertEqual(proc.resident(99, self.root), 0)
        self.assertIsNone(proc.started(99, self.root))

    def test_memory_of_one_is_resident_and_of_many_proportional(self) -> None:
        """What a family shares counts once."""
        self.process(10, 1, rss=3000)
        self.assertEqual(proc.resident(10, self.root), 3000 * 1024)
        self.process(11, 10, rss=500)
        self.assertEqual(proc.resident(10, self.root), 3500 * 1024)

    def test_beginning_tells_processes_of_one_pid_apart(self) -> None:
        """In ticks since boot."""
        self.process(10, 1)
        self.assertEqual(proc.started(10, self.root), 710)

    def test_descriptors_are_counted(self) -> None:
        """One for each entry."""
        self.process(10, 1)
        (self.root / "10" / "fd" / "0").touch()
        self.assertEqual(proc.descriptors(10, self.root), 1)


def _spend(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
