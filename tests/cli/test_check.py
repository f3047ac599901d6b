"""``apiproxy check``."""

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.check import command

OFF = {f"APIPROXY_{name}_PORT": "off" for name in ("COPILOT", "GEMINI", "VERTEX")}


class CheckTests(SynchronousTestCase):
    def check(self, **environ: str) -> Result:
        clear = dict.fromkeys(
            ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), None
        )
        runner = CliRunner()
        return runner.invoke(command, [], env={**clear, **OFF, **environ})

    def test_the_table(self) -> None:
        """Each listener has a row: where, what for, which way out, and the key."""
        result = self.check(
            OPENAI_API_KEY="secret-key",
            ANTHROPIC_API_TARGET="gateway.test:8443",
            ANTHROPIC_API_BASE_PATH="/a",
            HTTPS_PROXY="http://user:password@squid:3128",
            NO_PROXY="gateway.test",
            APIPROXY_OPENCODE_PORT="0",
            APIPROXY_OPENCODE_SOCKET="/run/opencode",
            APIPROXY_BIND="127.0.0.1,::1",
        )
        self.assertEqual(
            result.output.splitlines(),
            [
                "PROVIDER   ADDRESS                  UPSTREAM             "
                "WAY OUT            KEY",
                "openai     127.0.0.1:10000          api.openai.com/v1    "
                "http://squid:3128  configured",
                "openai     [::1]:10000              api.openai.com/v1    "
                "http://squid:3128  configured",
                "anthropic  127.0.0.1:10001          gateway.test:8443/a  "
                "direct             none; set ANTHROPIC_API_KEY",
                "anthropic  [::1]:10001              gateway.test:8443/a  "
                "direct             none; set ANTHROPIC_API_KEY",
                "opencode   127.0.0.1:any free port  api.openai.com/v1    "
                "http://squid:3128  configured",
                "opencode   [::1]:any free port      api.openai.com/v1    "
                "http://squid:3128  configured",
                "opencode   /run/opencode            api.openai.com/v1    "
                "http://squid:3128  configured",
            ],
        )
        self.assertEqual(result.exit_code, 0)

    def test_key_that_a_program_gives(self) -> None:
        """It is not asked here; OpenCode stands in for whose it is, too."""
        result = self.check(OPENAI_API_KEY="", ANTHROPIC_API_KEY_COMMAND="/bin/program")
        for name in ("anthropic", "opencode"):
            self.assertRegex(
                result.output, rf"{name} .* api\.anthropic\.com .* from a program\n"
            )

    def test_warnings(self) -> None:
        """What will surprise is said below."""
        result = self.check(APIPROXY_OPENAI_PORT="off", APIPROXY_OPENAI_SOCKET="/s")
        self.assertIn("openai     /s ", result.output)
        self.assertTrue(result.output.splitlines()[-1].startswith("warning: HTTPS_PRO"))

    def test_problems(self) -> None:
        """All that is wrong is said at once, and the exit code is 1."""
        result = self.check(APIPROXY_XYLOPHONE="1", HTTPS_PROXY="ftp://x")
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(
            result.stderr.splitlines(),
            [
                "apiproxy: HTTPS_PROXY must be an http:// or https:// URL",
                "apiproxy: APIPROXY_XYLOPHONE is not a setting",
            ],
        )

    def test_a_file_without_certificates(self) -> None:
        """The files of authorities are read, as the service will."""
        path = Path(self.mktemp())
        path.write_text("this is no certificate")
        result = self.check(APIPROXY_CA_FILE=str(path.absolute()))
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(
            result.stderr,
            "apiproxy: APIPROXY_CA_FILE: there is no usable certificate in"
            f" {path.absolute()}\n",
        )
