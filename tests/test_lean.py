"""What is left out of a process that serves, and that it serves without it."""

import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.lean import leave_out


class LeaveOutTests(SynchronousTestCase):
    def test_cold_packages_are_not_there(self) -> None:
        """Twisted finds neither pyOpenSSL nor h2, and Autobahn compiles nothing."""
        modules: dict[str, Any] = {}
        environ: dict[str, str] = {}
        self.assertTrue(leave_out(modules, environ))
        self.assertIs(modules.pop("autobahn.twisted.wamp").ApplicationSession, object)
        self.assertEqual(modules, {"OpenSSL": None, "h2": None})
        self.assertEqual(environ, {"AUTOBAHN_USE_NVX": "0"})

    def test_it_can_be_switched_off(self) -> None:
        """Everything is imported as ever."""
        for word in ("off", " OFF ", "0", "false", "no"):
            modules: dict[str, object] = {}
            self.assertFalse(leave_out(modules, {"APIPROXY_LEAN_IMPORTS": word}))
            self.assertEqual(modules, {})

    def test_it_does_not_come_too_late(self) -> None:
        """Where sockets have been imported, as here, nothing is taken away."""
        self.assertFalse(leave_out(dict(sys.modules), {}))

    def test_a_process_that_serves(self) -> None:
        """The service is imported without them, and can send its probes."""
        code = (
            "import sys, apiproxy.tap, treq.client; from twisted.internet import reactor;"
            "print(sys.modules['OpenSSL'], sys.modules['h2'], 'cryptography' in sys.modules)"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        self.assertEqual(result.stdout, "None None False\n")
