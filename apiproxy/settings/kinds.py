"""The kinds of value a setting can have: how each is written, read and shown.

A reader raises ValueError with the rest of a sentence that begins with the setting's name. It
never repeats the value: what was put in the wrong place may well be a secret.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from attrs import frozen

from apiproxy.core.egress import EgressProxy, NoProxy


@frozen
class Kind:
    """A kind of value.

    Attributes:
        parse: reads text that was trimmed and is not empty.
        show: writes a default for the reference.
        words: all that it may be, where these are few.
    """

    # Any: the table of settings is heterogeneous; Settings gives each value its type back.
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    words: tuple[str, ...] = ()


class Nothing(ValueError):
    """A number that stands for none, as 0 does for a limit in the older sidecar.

    Under a name that was taken over from it this is a warning; else it is a mistake, since
    one cannot tell "no limit" from "nothing at all".
    """


_SIZE = re.compile(r"([0-9]{1,15})\s*([kmg]?)(i?)b?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


def size(least: int) -> Kind:
    """Bytes: a number, or one with k, M, G (also KiB, MiB, GiB); all are powers of 1024."""

    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text)
        value = -1
        if match is not None and (match[2] or not match[3]):
            value = int(match[1]) * 1024 ** _POWERS[match[2].lower()]
        if value < least:
            raise ValueError(
                f"must be a number of bytes, at least {least}, such as 4MiB"
            )
        return value

    return Kind(parse, _show_size)


def _show_size(value: int) -> str:
    for unit, one in (("MiB", 1024**2), ("KiB", 1024)):
        if value >= one and value % one == 0:
            return f"{value // one}{unit}"
    return str(value)


def count(least: int) -> Kind:
    """A whole number."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) < least:
            raise ValueError(f"must be a whole number, at least {least}")
        return int(text)

    return Kind(parse)


def whole(*, off: bool = False) -> Kind:
    """A whole number above 0, also as ``1e6`` or ``0x10``.

    Args:
        off: whether ``off`` (None) is a value.
    """
    return amount(1, off=off, whole=True)


def amount(
    times: int, *, off: bool = False, zero: bool = False, whole: bool = False
) -> Kind:
    """A number above 0, kept as a whole number of its parts.

    Args:
        times: how many parts it has.
        off: whether ``off`` (None) is a value.
        zero: whether 0 is.
        whole: whether it must be a whole number.
    """
    sort = "whole number" if whole else "number"
    must = f"must be a {sort}{', at least 0' if zero else ' above 0'}"
    must += ", or off" if off else ""

    def parse(text: str) -> int | None:
        if off and text.lower() == "off":
            return None
        return parts(text, times, must, zero=zero, whole=whole)

    return Kind(parse, lambda value: _show_amount(value, times))


_NUMBER = re.compile(
    r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?([eE][+-]?[0-9]{1,2})?", re.ASCII
)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,12}")
_MOST = 10**15  # JSON, SQLite and Redis take numbers a little larger than this


def parts(
    text: str, times: int, must: str, *, zero: bool = False, whole: bool = False
) -> int:
    """The parts of a number, such as thousandths.

    Args:
        text: the number.
        times: how many parts one has.
        must: what is said if it is none.
        zero: whether 0 is one.
        whole: whether it must be a whole number.

    Raises:
        ValueError: it is none; ``Nothing`` if it is 0 or negative and must not be.
    """
    if _HEX.fullmatch(text):
        text = str(int(text, 16))
    if not _NUMBER.fullmatch(text):
        raise ValueError(must)
    number = Decimal(text)
    if number < 0 or (number == 0 and not zero):
        raise Nothing(must)
    value = int(number * times)
    if (whole and value != number * times) or value > _MOST or (number and not value):
        raise ValueError(must)
    return value


def _show_amount(value: int | None, times: int) -> str:
    if value is None:
        return ""
    return f"{Decimal(value) / times:f}"


_MOST_WORKERS = 256


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parse_workers(text: str) -> int:
    if text.lower() == "auto":
        return min(usable_cpus(), _MOST_WORKERS)
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or not (
        1 <= int(text) <= _MOST_WORKERS
    ):
        raise ValueError(f"must be a number from 1 to {_MOST_WORKERS}, or auto")
    return int(text)


WORKERS = Kind(_parse_workers)
"""A number of processes; ``auto`` for as many as there are CPUs to use."""


def seconds(*, zero: bool = False) -> Kind:
    """A time in seconds, up to a week."""

    def parse(text: str) -> float:
        value = -1.0
        if re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text, re.ASCII):
            value = float(text)
        if not 0 <= value <= 604800 or (value == 0 and not zero):
            raise ValueError("must be a number of seconds, above 0 and up to 604800")
        return value

    return Kind(parse, lambda value: f"{value:g}")


_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _parse_switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError("must be on or off")
    return _SWITCH[text.lower()]


SWITCH = Kind(_parse_switch, lambda value: "on" if value else "off")
"""1, true, yes, on; 0, false, no, off."""


def one_of(*words: str) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return Kind(parse, words=words)


def _parse_addresses(text: str) -> tuple[str, ...]:
    try:
        found = [
            str(ipaddress.ip_address(part.strip().strip("[]")))
            for part in text.split(",")
        ]
    except ValueError:
        raise ValueError("must be IP addresses with commas between them") from None
    return tuple(dict.fromkeys(found))


ADDRESSES = Kind(_parse_addresses, ",".join)
"""IP addresses, at least one, IPv6 with or without brackets."""

PATH = Kind(str)
"""Path of a file."""


def _parse_directory(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("must be an absolute path")
    return text


DIRECTORY = Kind(_parse_directory)
"""Path of a directory; absolute, since a daemon's own directory is no place to rely on."""


def _parse_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:@/-]{1,128}", text, re.ASCII):
        raise ValueError("must be 1 to 128 characters of A-Z a-z 0-9 _ . : @ / -")
    return text


NAME = Kind(_parse_name)
"""A name that can stand in a log, in a label and in a key."""

PROXY = Kind(EgressProxy.parse)
"""URL of an HTTP proxy."""

NO_PROXY = Kind(NoProxy.parse, lambda value: "")
"""Hosts that are reached without the proxy."""


def _parse_port(text: str) -> int | None:
    if text.lower() == "off":
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or int(text) > 65535:
        raise ValueError("must be a port from 0 to 65535, or off")
    return int(text)


PORT = Kind(_parse_port)
"""A TCP port to listen on, 0 for any free one; ``off`` (None) for none."""


def _parse_socket(text: str) -> str:
    if not text.startswith("/") or len(text.encode()) > 107 or "\0" in text:
        raise ValueError("must be an absolute path of at most 107 bytes")
    return text


SOCKET = Kind(_parse_socket)
"""Path of a Unix socket; 107 bytes is what the kernel takes."""
