"""How values are written, and what is refused without being repeated."""

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.egress import NoProxy
from apiproxy.settings.kinds import (
    ADDRESSES,
    DIRECTORY,
    NAME,
    NO_PROXY,
    PATH,
    PORT,
    PROXY,
    SOCKET,
    SWITCH,
    WORKERS,
    Kind,
    Nothing,
    amount,
    count,
    one_of,
    seconds,
    size,
    usable_cpus,
    whole,
)


class KindTests(SynchronousTestCase):
    def check(self, kind: Kind, good: dict[str, Any], bad: str) -> None:
        for text, value in good.items():
            self.assertEqual(kind.parse(text), value)
        for text in bad.split("|"):
            error = self.assertRaises(ValueError, kind.parse, text)
            self.assertTrue(str(error).startswith("must "), str(error))

    def test_directories_and_names(self) -> None:
        """A directory is absolute; a name can stand anywhere."""
        self.check(DIRECTORY, {"/var/log/x y": "/var/log/x y"}, "logs|./logs|/a\0b")
        self.check(
            NAME, {"1234": "1234", "a-b/c:d@e.f": "a-b/c:d@e.f"}, "a b|ü|" + "x" * 129
        )

    def test_sizes(self) -> None:
        """A size may have a unit; all units are powers of 1024."""
        good = {
            "1": 1,
            "10k": 10240,
            "10 KB": 10240,
            "32KiB": 32768,
            "4M": 4194304,
            "4MiB": 4194304,
            "1g": 1073741824,
        }
        self.check(size(1), good, "|0|-1|1.5M|M|1T|1iB|0x10|1e3|² |sk-secret")

    def test_sizes_are_shown_with_their_unit(self) -> None:
        """What the reference shows can be written again."""
        for value in (0, 1, 1000, 1024, 33554432, 4096 + 1):
            shown = size(0).show(value)
            self.assertEqual(size(0).parse(shown), value)
        self.assertEqual(size(0).show(33554432), "32MiB")

    def test_counts(self) -> None:
        """A count is a whole number, and not too small."""
        self.check(count(2), {"2": 2, "007": 7}, "|1|-3|2.0|x|٣|9999999999")

    def test_whole_numbers(self) -> None:
        """A limit; also as other programs write numbers."""
        good = {"1": 1, "1e3": 1000, "0x10": 16, "1.50e1": 15, "+7": 7}
        bad = "|0|-1|0.5|1e-1|x|1e16|nan|inf|1_000|99999999999999999999|1e"
        self.check(whole(), good, bad)
        self.check(whole(off=True), {"OFF": None, "5": 5}, "|0|none")

    def test_amounts(self) -> None:
        """Are kept in whole parts, and shown as they are written."""
        kind = amount(1000)
        self.check(kind, {"1": 1000, "0.25": 250, "1e2": 100_000}, "|0|-1|0.0001|x")
        self.assertEqual([kind.show(1250), kind.show(5000)], ["1.25", "5"])
        self.assertEqual(amount(10, off=True).show(None), "")
        self.check(amount(1000, zero=True), {"0": 0}, "-1|off")

    def test_none_is_told_from_nonsense(self) -> None:
        """0 and negative numbers are how other programs write that there is no limit."""
        for text in ("0", "-5", "0.0", "0x0"):
            self.assertRaises(Nothing, whole().parse, text)
        error = self.assertRaises(ValueError, whole().parse, "x")
        self.assertNotIsInstance(error, Nothing)

    def test_workers(self) -> None:
        """A number of processes, or as many as there are CPUs that we may use."""
        self.patch(os, "sched_getaffinity", lambda pid: {0, 2, 5})
        good = {"1": 1, "4": 4, "256": 256, "auto": 3, "AUTO": 3}
        self.check(WORKERS, good, "|0|-1|257|1000|two|2.0|٣")
        self.patch(os, "sched_getaffinity", lambda pid: range(1000))
        self.assertEqual(WORKERS.parse("auto"), 256)

    def test_cpus_elsewhere(self) -> None:
        """Where a system does not say which a process may use, all of them."""
        name = "sched_getaffinity"
        if hasattr(os, name):
            known = getattr(os, name)
            delattr(os, name)
            self.addCleanup(setattr, os, name, known)
        self.patch(os, "cpu_count", lambda: 7)
        self.assertEqual(usable_cpus(), 7)
        self.patch(os, "cpu_count", lambda: None)
        self.assertEqual(usable_cpus(), 1)

    def test_seconds(self) -> None:
        """A time is in seconds; zero only where nothing can be meant by it."""
        good = {"10": 10.0, "0.5": 0.5, "604800": 604800.0}
        self.check(seconds(), good, "|0|-1|604801|nan|inf|1e3|10s|.5")
        self.check(seconds(zero=True), {"0": 0.0}, "-0|x")
        self.assertEqual(seconds().show(10.0), "10")

    def test_switches(self) -> None:
        """On and off can be said in the usual ways."""
        good = {"1": True, "TRUE": True, "yes": True, "on": True}
        good |= {"0": False, "false": False, "No": False, "off": False}
        self.check(SWITCH, good, "|2|maybe")
        self.assertEqual([SWITCH.show(True), SWITCH.show(False)], ["on", "off"])

    def test_words(self) -> None:
        """One of a few words, in any case."""
        self.check(one_of("a", "b"), {"a": "a", "B": "b"}, "|c|ab")

    def test_addresses(self) -> None:
        """Addresses to listen on, once each; names are not resolved."""
        good = {
            "127.0.0.1": ("127.0.0.1",),
            "0.0.0.0, ::": ("0.0.0.0", "::"),
            "[::1],::1,0::1": ("::1",),
        }
        self.check(ADDRESSES, good, "|localhost|1.2.3|127.0.0.1,|*")
        self.assertEqual(ADDRESSES.show(("a", "b")), "a,b")

    def test_ports(self) -> None:
        """A port, 0 for any, or off."""
        good = {"0": 0, "10000": 10000, "65535": 65535, "OFF": None}
        self.check(PORT, good, "|65536|-1|x|1.0|no")

    def test_sockets(self) -> None:
        """An absolute path that the kernel takes."""
        longest = "/" + 106 * "x"
        good = {"/run/x.sock": "/run/x.sock", longest: longest}
        self.check(SOCKET, good, f"|run/x|@x|{longest}x|/é{longest}|/\0")

    def test_others(self) -> None:
        """The egress kinds are read where the egress proxy is described."""
        self.assertEqual(PATH.parse("/x"), "/x")
        self.assertEqual(PROXY.parse("squid").port, 3128)
        self.assertTrue(NO_PROXY.parse("*").bypasses("x", 1))
        self.assertEqual(NO_PROXY.show(NoProxy()), "")
