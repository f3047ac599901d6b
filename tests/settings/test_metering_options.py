"""Settings of the usage log, the control socket and what is kept on disk."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Settings


def read(**environ: str) -> Settings:
    return Settings.read(environ, None, lambda path: b"", lambda: "id")


class MeteringTests(SynchronousTestCase):
    def test_off_unless_set(self) -> None:
        """Nothing is written and nothing opened that nobody asked for."""
        settings = read()
        self.assertEqual(
            (settings.usage_log_dir, settings.state_dir, settings.control_socket),
            (None, None, None),
        )
        self.assertEqual(settings.usage_log_bytes, 64 * 1024 * 1024)
        self.assertEqual((settings.usage_log_files, settings.run_id), (4, "default"))

    def test_names(self) -> None:
        """The Node sidecar's name of the directory is known, ours goes before it."""
        self.assertEqual(read(AWF_TOKEN_LOG_DIR="/a").usage_log_dir, "/a")
        both = read(AWF_TOKEN_LOG_DIR="/a", APIPROXY_USAGE_LOG_DIR="/b")
        self.assertEqual(both.usage_log_dir, "/b")

    def test_run(self) -> None:
        """On GitHub a run has its number there."""
        self.assertEqual(read(GITHUB_RUN_ID="123").run_id, "123")
        self.assertEqual(read(GITHUB_RUN_ID="123", APIPROXY_RUN_ID="x").run_id, "x")

    def test_nonsense(self) -> None:
        """It is a problem that is named."""
        for name, value in (
            ("APIPROXY_USAGE_LOG_DIR", "logs"),
            ("APIPROXY_USAGE_LOG_BYTES", "10"),
            ("APIPROXY_USAGE_LOG_FILES", "-1"),
            ("APIPROXY_CONTROL_SOCKET", "control.sock"),
            ("APIPROXY_STATE_DIR", "state"),
            ("APIPROXY_RUN_ID", "a b"),
        ):
            error = self.assertRaises(ConfigurationError, read, **{name: value})
            self.assertTrue(error.problems[0].startswith(name), error.problems)
