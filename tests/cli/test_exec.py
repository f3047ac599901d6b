"""``apiproxy exec``: the program runs with what it needs, and without any real key."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.exec import (
    command,
    environment,
    keep_descriptors,
    state_folder,
    without_secrets,
)
from apiproxy.cli.recipes import Lines

SECRET = "sk-real"
APIPROXY = str(Path(sys.executable).with_name("apiproxy"))
REPEAT = 'echo "$@"; cat "$GEMINI_CLI_SYSTEM_DEFAULTS_PATH"'
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


class EnvironmentTests(SynchronousTestCase):
    def test_no_real_key_is_left(self) -> None:
        """Every variable of ours that holds one goes, and whatever is called like one."""
        for name in (
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY_FILE",
            "ANTHROPIC_AUTH_TOKEN",
            "COPILOT_GITHUB_TOKEN",
            "AWF_BYOK_EXTRA_HEADERS",
            "OPENAI_API_KEY_COMMAND",
            "GEMINI_API_KEY_FD",
            "CREDENTIALS_DIRECTORY",
            "PGPASSWORD",
            "GH_TOKEN",
            "MISTRAL_APIKEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_BEARER_TOKEN_BEDROCK_TOKEN",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "db_password",
            "TOKEN",
            "CLIENT_SECRET",
        ):
            self.assertEqual(without_secrets({name: SECRET}), {}, name)

    def test_everything_else_stays(self) -> None:
        """Also names that only resemble one, and what the user wants to keep."""
        environ = {
            "PATH": "/bin",
            "HOME": "/root",
            "TOKENIZERS_PARALLELISM": "1",
            "MAX_TOKENS": "5",
            "HTTPS_PROXY": "http://squid:3128",
            "NPM_TOKEN": SECRET,
        }
        self.assertEqual(without_secrets(environ, ["NPM_TOKEN"]), environ)

    def test_a_proxy_with_a_password_goes(self) -> None:
        """It is apiproxy's; one without is nobody's secret."""
        self.assertEqual(without_secrets({"https_proxy": "http://u:p@squid"}), {})

    def test_a_ledger_with_a_password_goes(self) -> None:
        """Whoever reaches it changes budgets."""
        self.assertEqual(without_secrets({"APIPROXY_LEDGER": "redis://:p@redis/0"}), {})
        environ = {"APIPROXY_LEDGER": "redis://redis/0"}
        self.assertEqual(without_secrets(environ), environ)

    def test_the_way_to_apiproxy_is_direct(self) -> None:
        """Most agents would ask a proxy for 127.0.0.1."""
        made = environment(Lines({}), {"NO_PROXY": "a,localhost"}, host="box")
        self.assertEqual(made["NO_PROXY"], "a,localhost,127.0.0.1,::1,box")
        self.assertEqual(made["no_proxy"], "127.0.0.1,localhost,::1,box")

    def test_who_wins(self) -> None:
        """The recipe's variables over the user's, and those over proposals."""
        lines = Lines({"A": "recipe"}, {"B": "proposal", "C": "proposal"})
        made = environment(lines, {"A": "user", "B": "user"})
        self.assertEqual(
            (made["A"], made["B"], made["C"]), ("recipe", "user", "proposal")
        )

    def test_the_folder_for_files(self) -> None:
        """Below the user's folder for state."""
        self.assertEqual(state_folder({"XDG_STATE_HOME": "/s"}), Path("/s/apiproxy"))
        home = Path.home() / ".local/state/apiproxy"
        self.assertEqual(state_folder({}), home)


class ExecTests(SynchronousTestCase):
    def run_it(
        self, *arguments: str, **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command as a program."""
        return subprocess.run(
            [APIPROXY, "exec", *arguments],
            env={"PATH": os.environ["PATH"], **environ},
            capture_output=True,
            text=True,
        )

    def test_a_program_with_an_sdk(self) -> None:
        """It takes the place of apiproxy, and its arguments are its own."""
        show = (sys.executable, "-c", SHOW)
        ended = self.run_it("openai", "--", *show, OPENAI_API_KEY=SECRET, OWN="1")
        seen = json.loads(ended.stdout)
        self.assertEqual(seen["OPENAI_BASE_URL"], "http://127.0.0.1:10000/v1")
        self.assertEqual(seen["OWN"], "1")
        self.assertNotIn(SECRET, ended.stdout)

    def test_a_key_behind_a_descriptor_stays_there(self) -> None:
        """The program has neither its number nor the descriptor; of others it has."""
        ours, others = os.pipe()
        with os.fdopen(ours), os.fdopen(others, "w"):
            look = "import os, sys; [os.fstat(int(each)) for each in sys.argv[1:]]"
            program = (sys.executable, "-c", look)
            for fd, code in ((ours, 1), (others, 0)):
                ended = subprocess.run(
                    [APIPROXY, "exec", "openai", "--", *program, str(fd)],
                    env={"PATH": os.environ["PATH"], "OPENAI_API_KEY_FD": str(ours)},
                    capture_output=True,
                    pass_fds=(ours, others),
                )
                self.assertEqual(ended.returncode, code, ended.stderr)

    def test_numbers_that_are_no_descriptors(self) -> None:
        """Are none of ours to complain of."""
        for number in ("9999", "9" * 30, "x", ""):
            keep_descriptors({"OPENAI_API_KEY_FD": number})

    def test_an_agent_gets_its_arguments_and_its_file(self) -> None:
        """Ours first, then the user's; a file where the agent is led to it."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("codex", "gemini"):
                program = Path(folder, name)
                program.write_text(f"#!/bin/sh\n{REPEAT}\n")
                program.chmod(0o755)
            environ = {"PATH": f"{folder}:/bin:/usr/bin", "XDG_STATE_HOME": folder}
            url = ("--url", "http://box:1")
            codex = self.run_it(*url, "codex", "--", "exec", "--json", "hi", **environ)
            self.assertTrue(codex.stdout.startswith("-c model_provider="), codex.stdout)
            self.assertTrue(codex.stdout.rstrip().endswith("exec --json hi"))
            self.assertIn('base_url="http://box:1/v1"', codex.stdout)
            gemini = self.run_it(*url, "gemini", "--", "-p", "hi", **environ)
            told, _, text = gemini.stdout.partition("\n")
            self.assertEqual(told, "-p hi")
            self.assertIn("security", json.loads(text))

    def test_what_cannot_be_run(self) -> None:
        """A program that is not there, and none at all."""
        with tempfile.TemporaryDirectory() as folder:
            environ = {"PATH": folder, "XDG_STATE_HOME": folder}
            for name in ("gemini", "codex"):
                result = CliRunner().invoke(command, [name, "hi"], env=environ)
                self.assertEqual(result.exit_code, 127)
                self.assertIn(f"apiproxy: {name}: No such file", result.output)
            self.assertTrue(Path(folder, "apiproxy/gemini-settings.json").exists())
        result = CliRunner().invoke(command, ["openai"])
        self.assertEqual(result.exit_code, 2)
        self.assertIn("name the program", result.output)
