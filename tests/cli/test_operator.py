"""How subcommands ask the control socket."""

import os

from tests.cli.operators import OperatorCase


class OperatorTests(OperatorCase):
    def test_which_socket(self) -> None:
        """An option goes before the environment; one of them has to say it."""
        self.patch(os, "environ", {"APIPROXY_CONTROL_SOCKET": "/nowhere"})
        self.assertEqual(
            self.output("stop", "all", "--socket", self.path), ["2 stopped"]
        )
        self.patch(os, "environ", {})
        self.assertIn("which socket?", self.failure("state"))

    def test_nobody_there(self) -> None:
        """The reason is the system's."""
        self.assertEqual(
            self.failure("state", "--socket", "/nowhere"),
            "apiproxy: /nowhere does not answer: No such file or directory\n",
        )

    def test_no_apiproxy(self) -> None:
        """What answers otherwise is no control socket."""
        self.service.raw = b"hello"
        self.assertIn("does not answer: ", self.failure("state"))

    def test_refused(self) -> None:
        """The service's own words are shown."""
        self.service.refusal = "This socket is not yours."
        self.assertEqual(self.failure("state"), "apiproxy: This socket is not yours.\n")
