"""The table of settings that say who may come."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.settings.access_options import ACCESS


class AccessOptionsTests(SynchronousTestCase):
    """Lists."""

    def test_defaults_can_be_shown(self) -> None:
        """In the reference; nothing is allowed, opened or denied by itself."""
        for option in ACCESS:
            self.assertFalse(option.default)
            if option.default is not None:
                self.assertEqual(option.kind.show(option.default), "")

    def test_values_are_listed_once(self) -> None:
        """With commas between them, which may be too many."""
        hosts = ACCESS[0].kind
        self.assertEqual(hosts.parse(" a,,b , a,"), ("a", "b"))
        self.assertEqual(hosts.show(("a", "b")), "a, b")
