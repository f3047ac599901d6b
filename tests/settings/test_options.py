"""The table of settings."""

from attrs import asdict
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.limits import Deadlines, Limits
from apiproxy.settings.options import OPTIONS


class OptionTests(SynchronousTestCase):
    def test_no_name_is_used_twice(self) -> None:
        """Neither a variable nor a key."""
        names = [name for option in OPTIONS for name in option.names]
        keys = [option.key for option in OPTIONS]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len(keys), len(set(keys)))

    def test_every_limit_and_deadline_can_be_set(self) -> None:
        """And each row stands for one of them."""
        sections = ("limits.", "deadlines.")
        keys = {option.key for option in OPTIONS if option.key.startswith(sections)}
        expected = {f"limits.{name}" for name in asdict(Limits())}
        expected |= {f"deadlines.{name}" for name in asdict(Deadlines())}
        self.assertEqual(keys, expected)

    def test_defaults_can_be_written(self) -> None:
        """What the reference shows as default means the default."""
        for option in OPTIONS:
            if option.default is not None and (
                text := option.kind.show(option.default)
            ):
                self.assertEqual(option.kind.parse(text), option.default, option.key)
