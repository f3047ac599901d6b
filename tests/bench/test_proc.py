"""Tests of bench.proc, on a proc made of files."""

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

    def process(
        self, pid: int, parent: int, threads: tuple[int, ...] = (), rss: int = 1000
    ) -> None:
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        tail = _TAIL.format(parent=parent, user=20, system=5, start=700 + pid)
        (folder / "stat").write_text(f"{pid} (a (bad) name) {tail}")
        (folder / "status").write_text(_STATUS.format(rss=rss))
        (folder / "smaps_rollup").write_text(f"00-ff ---p\nRss: 1 kB\nPss: {rss} kB\n")
        for number, nanoseconds in enumerate(threads):
            task = folder / "task" / str(pid + number)
            task.mkdir(parents=True)
            (task / "schedstat").write_text(f"{nanoseconds} 12 3\n")

    def test_program_names_may_hold_anything(self) -> None:
        """Fields are counted from the last parenthesis."""
        text = f"7 (a) b (c)) {_TAIL.format(parent=3, user=11, system=22, start=1)}"
        self.assertEqual(proc.parse_stat(text), (3, 11, 22))

    def test_family_is_all_below(self) -> None:
        """Children and their children, nobody else."""
        for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
            self.process(pid, parent)
        self.assertEqual(proc.family(10, self.root), [10, 11, 12])

    def test_cpu_time_counts_threads_and_children(self) -> None:
        """All of them together, in nanoseconds where the kernel has them."""
        self.process(10, 1, threads=(1_000_000_000, 500_000_000))
        self.process(11, 10, threads=(250_000_000,))
        self.assertEqual(proc.cpu_seconds(10, self.root), 1.75)

    def test_clock_ticks_serve_where_there_is_nothing_better(self) -> None:
        """25 ticks of 10 ms."""
        self.process(10, 1)
        (self.root / "10" / "task" / "10").mkdir(parents=True)
        self.assertEqual(proc.cpu_seconds(10, self.root), 25 * proc._TICK_NS / 1e9)

    def test_process_that_has_ended_has_used_nothing(self) -> None:
        """It is not an error to look too late."""
        self.assertEqual(proc.cpu_seconds(99, self.root), 0)
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
