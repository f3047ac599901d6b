"""The error tree: what is drawn is what there is, and each error helps its reader."""

import re
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core import errors
from apiproxy.core.errors import (
    AccessRefused,
    AgentFault,
    EgressFault,
    InternalError,
    OurFault,
    PolicyRefusal,
    ProxyError,
    UpstreamFault,
)

DRAWN = re.compile(r"^ {4}([ │]*)(?:[├└]── )?(\w+)(?: +(\d{3}) +(\w+)| {2,}.*)?$")

Row = tuple[str, str, int | None, str | None]
"""Name, parent's name, and for a leaf its status and code."""


def tree(base: type[ProxyError] = ProxyError) -> Iterator[Row]:
    """The rows of the tree as the classes have it, in the order of the source."""
    for kind in base.__subclasses__():
        if kind.__subclasses__():
            yield kind.__name__, base.__name__, None, None
            yield from tree(kind)
        else:
            yield kind.__name__, base.__name__, kind.status, kind.code


def drawn() -> Iterator[Row]:
    """The rows of the tree as the docstring draws it."""
    text = (errors.__doc__ or "").partition("::\n")[2].partition("\n\nEach")[0]
    group = ""
    for line in text.strip("\n").splitlines():
        found = DRAWN.match(line)
        assert found is not None, line
        bars, name, status, code = found.groups()
        if name == "ProxyError":
            continue
        if status is None:
            assert not bars
            group = name
            yield name, "ProxyError", None, None
        else:
            assert bars
            yield name, group, int(status), code


def leaves(base: type[ProxyError] = ProxyError) -> list[type[ProxyError]]:
    """The errors that are raised."""
    return [
        leaf
        for kind in base.__subclasses__()
        for leaf in (leaves(kind) if kind.__subclasses__() else [kind])
    ]


class ErrorTreeTests(SynchronousTestCase):
    def test_tree_is_as_drawn(self) -> None:
        """Names, groups, statuses, codes and order, to the last line."""
        self.assertEqual(list(drawn()), list(tree()))
        self.assertGreater(len(leaves()), 20)

    def test_codes_are_stable_names(self) -> None:
        """Each error can be told from all others by x-apiproxy-error alone."""
        codes = [kind.code for kind in leaves()]
        self.assertEqual(len(codes), len(set(codes)))
        for code in codes:
            self.assertRegex(code, r"\A[a-z]+(_[a-z]+)*\Z")

    def test_every_error_has_a_sentence(self) -> None:
        """It ends in a full stop, fits on a line of a terminal or two, and is ASCII."""
        for kind in leaves():
            error = kind()
            self.assertRegex(error.message, r"\A[A-Za-z][ -~]{15,180}\.\Z", kind)
            self.assertEqual(str(error), error.message)
            self.assertTrue(kind.__doc__, kind)
        messages = [kind.default for kind in leaves()]
        self.assertEqual(len(messages), len(set(messages)))

    def test_message_can_be_worded_for_the_case(self) -> None:
        """Empty words are none."""
        for kind in leaves():
            self.assertEqual(kind("Just so.").message, "Just so.")
            self.assertEqual(kind("").message, kind.default)
            self.assertEqual(
                repr(kind("Just so.")),
                f"<{kind.__name__} {kind.status} {kind.code}: Just so.>",
            )

    def test_figures_and_header_lines_can_be_added(self) -> None:
        """Without them there are none."""
        for kind in leaves():
            plain = kind()
            self.assertEqual((plain.details, plain.fields), ({}, ()))
            fields = [(b"Retry-After", b"5")]
            told = kind(details={"limit": 5}, fields=fields)
            self.assertEqual((told.details, told.fields), ({"limit": 5}, fields))
            self.assertEqual(told.message, kind.default)

    def test_fault_follows_from_the_group(self) -> None:
        """Logs and counters say whose doing it was."""
        for base, fault in [
            (AgentFault, "agent"),
            (AccessRefused, "agent"),
            (OurFault, "us"),
            (PolicyRefusal, "us"),
            (EgressFault, "egress"),
            (UpstreamFault, "upstream"),
        ]:
            for kind in leaves(base):
                self.assertEqual(kind.fault, fault, kind)
        self.assertEqual(
            {kind for kind in leaves() if kind.code == "internal_error"},
            {InternalError},
        )

    def test_egress_errors_say_where_to_look(self) -> None:
        """Squid, or the setting that leads to it; never just that it failed."""
        for kind in leaves(EgressFault):
            self.assertRegex(kind.default, r"Squid|HTTPS_PROXY", kind)

    def test_limits_name_their_setting(self) -> None:
        """Whoever meets a limit is told how to move it."""
        for kind in leaves():
            if kind.status in (408, 413, 431) or kind.code == "too_many_exchanges":
                self.assertRegex(kind.default, r"APIPROXY_[A-Z_]+", kind)

    def test_trying_again_is_suggested_only_where_it_can_help(self) -> None:
        """A refusal by rule stays one; what was in the way of the provider may pass."""
        for kind in leaves():
            if kind.status < 500:
                self.assertEqual(kind.retriable, kind.status in (408, 429), kind)
            if kind.status in (503, 504):
                self.assertTrue(kind.retriable, kind)
            self.assertIn(
                kind.status,
                (400, 401, 403, 405, 408, 413, 426, 429, 431, 499, 500, 502, 503, 504),
                kind,
            )
