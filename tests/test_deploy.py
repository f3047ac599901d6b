"""What the packaging promises: the unit, the image, the Compose file, the plugin, CI."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

ROOT = Path(__file__).parent.parent

PROVIDER_HOSTS = {
    "api.openai.com",
    "api.anthropic.com",
    ".githubcopilot.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def run(*command: str) -> str:
    """What a command prints, or a reason to skip where it is not installed."""
    # Debian keeps Squid where only root's PATH looks.
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SkipTest(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def section(text: str, name: str) -> str:
    """The lines of a YAML mapping's entry, one indentation deeper than its name."""
    found = re.search(rf"^{name}:.*\n((?: +.*\n|\n)*)", text, re.MULTILINE)
    assert found is not None, name
    return re.sub("^  ", "", found[1], flags=re.MULTILINE)


class SystemdUnitTests(SynchronousTestCase):
    unit = "deploy/systemd/apiproxy.service"

    def test_exposure_stays_low(self) -> None:
        """The measure systemd has of what the unit leaves open is at most 1.5 of 10."""
        report = run("systemd-analyze", "security", "--offline=true", self.unit)
        figure = re.search(r"Overall exposure level .*: ([0-9.]+)", report)
        assert figure is not None, report
        self.assertLessEqual(float(figure[1]), 1.5)

    def test_keys_come_as_credentials(self) -> None:
        """Every provider's key can be given as a credential, none in the environment."""
        lines = read(self.unit).splitlines()
        loaded = {
            line.removeprefix("LoadCredential=").split(":")[0]
            for line in lines
            if line.startswith("LoadCredential=")
        }
        self.assertEqual(
            loaded,
            {
                "OPENAI_API_KEY",
                "ANTHROPIC_API_KEY",
                "COPILOT_GITHUB_TOKEN",
                "COPILOT_PROVIDER_API_KEY",
                "GEMINI_API_KEY",
                "GOOGLE_API_KEY",
            },
        )
        self.assertFalse([line for line in lines if line.startswith("Environment=")])

    def test_says_when_it_is_ready(self) -> None:
        """The unit notifies, reloads on SIGHUP and has a user of its own."""
        lines = read(self.unit).splitlines()
        for line in (
            "Type=notify",
            "DynamicUser=yes",
            "ExecReload=/bin/kill -HUP $MAINPID",
        ):
            self.assertIn(line, lines)

    def test_does_not_forbid_what_openssl_needs(self) -> None:
        """With MemoryDenyWriteExecute pyOpenSSL cannot make a callback, and no TLS."""
        self.assertNotIn("MemoryDenyWriteExecute=yes", read(self.unit))


class ImageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = read("Dockerfile").replace("\\\n", " ")
        self.last = self.text[self.text.rindex("\nFROM ") :]

    def test_base_is_pinned(self) -> None:
        """Every stage starts from a slim image of one exact Python."""
        pin = r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+$"
        self.assertRegex(self.text, re.compile(pin, re.MULTILINE))
        stages = re.findall(r"^FROM (\S+)", self.text, re.MULTILINE)
        self.assertEqual(set(stages), {"${PYTHON_IMAGE}"})
        self.assertGreater(len(stages), 1)

    def test_every_download_is_checked(self) -> None:
        """What pip fetches has its hash checked, and the rest comes from no index."""
        installs = re.findall(r"pip (?:install|wheel) .*?(?= && |\n)", self.text)
        self.assertGreater(len(installs), 2)
        for command in installs:
            self.assertRegex(command, "--require-hashes|--no-deps --no-index")
            self.assertNotRegex(command, "https?:")

    def test_lock_has_hashes_and_no_address(self) -> None:
        """Each pinned package has hashes, and the lock names no registry."""
        for name in ("requirements.lock", "requirements-build.lock"):
            entries = read(name).replace("\\\n", " ").splitlines()
            pins = [line for line in entries if "==" in line]
            self.assertTrue(pins)
            for line in pins:
                self.assertIn("--hash=sha256:", line)
            self.assertNotRegex(read(name), "https?://|index-url|find-links")

    def test_lock_has_every_dependency(self) -> None:
        """What setup.cfg asks for is in the lock."""
        wanted = re.search(r"install_requires =\n((?: +.*\n)+)", read("setup.cfg"))
        assert wanted is not None
        lock = read("requirements.lock")
        for line in wanted[1].split("\n")[:-1]:
            name = re.split(r"[\[ ]", line.strip())[0].lower().replace("_", "-")
            self.assertRegex(lock, re.compile(f"^{name}==", re.MULTILINE))

    def test_twistd_is_the_first_process(self) -> None:
        """No shell between the container's signals and twistd, whose user is not root."""
        entry = re.search(r"^ENTRYPOINT (.*)$", self.last, re.MULTILINE)
        assert entry is not None
        python, isolated, twistd, *arguments = json.loads(entry[1])
        self.assertEqual(Path(python).name, "python")
        self.assertEqual(isolated, "-I")
        self.assertEqual(Path(twistd).name, "twistd")
        self.assertEqual(arguments, ["-n", "--pidfile=", "apiproxy"])
        self.assertRegex(self.last, r"\nUSER [1-9]\d*:[1-9]\d*\n")
        self.assertIn("\nSTOPSIGNAL SIGTERM\n", self.last)

    def test_health_is_asked_without_a_shell_or_curl(self) -> None:
        """The image's own Python asks for health."""
        check = re.search(r"^HEALTHCHECK .*? CMD (.*)$", self.last, re.MULTILINE)
        assert check is not None
        self.assertEqual(json.loads(check[1])[-1], "health")
        self.assertNotIn("curl", self.text)

    def test_serves_the_container_network(self) -> None:
        """The image listens on every address of the container, ports 10000 to 10005."""
        self.assertIn("APIPROXY_BIND=0.0.0.0", self.last)
        self.assertIn("\nEXPOSE 10000-10005\n", self.last)

    def test_plugin_cache_is_built_in(self) -> None:
        """The cache is made before the user changes, who could not write it."""
        self.assertLess(self.last.index("dropin.cache"), self.last.index("\nUSER "))

    def test_context_is_a_list_of_what_is_needed(self) -> None:
        """No file that is not named can reach a layer, and all that are copied can."""
        rules = [
            line
            for line in read(".dockerignore").splitlines()
            if line and not line.startswith("#")
        ]
        self.assertEqual(rules[0], "*")
        copied = re.findall(r"^COPY (?!--from)(.*) \S+$", self.text, re.MULTILINE)
        for name in " ".join(copied).split():
            self.assertIn(f"!{name}", rules)


class ComposeTests(SynchronousTestCase):
    def setUp(self) -> None:
        text = read("deploy/compose/compose.yaml")
        self.services = section(text, "services")
        self.networks = section(text, "networks")

    def members(self, network: str) -> set[str]:
        """The services on a network."""
        return {
            name
            for name in ("apiproxy", "squid", "agent")
            if network in self.of_service(name, "networks")
        }

    def of_service(self, service: str, key: str) -> list[str]:
        """A list of words that a service has, written in one line."""
        line = re.search(
            rf"^{key}: \[(.*)\]$", section(self.services, service), re.MULTILINE
        )
        return line[1].split(", ") if line else []

    def test_agent_reaches_only_apiproxy(self) -> None:
        """The agent shares a network with apiproxy alone, and that has no way out."""
        self.assertEqual(self.of_service("agent", "networks"), ["agents"])
        self.assertEqual(self.members("agents"), {"agent", "apiproxy"})
        agents = section(self.networks, "agents")
        self.assertIn("internal: true", agents)
        self.assertIn("gateway_mode_ipv4: isolated", agents)

    def test_only_squid_reaches_the_outside(self) -> None:
        """What holds the keys reaches Squid, and Squid alone reaches the rest."""
        self.assertEqual(self.members("egress"), {"apiproxy", "squid"})
        self.assertIn("internal: true", section(self.networks, "egress"))
        self.assertEqual(self.members("outside"), {"squid"})
        self.assertNotIn("ports:", self.services)
        self.assertNotIn("network_mode:", self.services)
        self.assertIn('APIPROXY_REQUIRE_PROXY: "1"', self.services)

    def test_keys_are_files_of_apiproxy_alone(self) -> None:
        """Keys are secrets mounted into apiproxy; the agent has placeholders."""
        secrets = self.of_service("apiproxy", "secrets")
        self.assertTrue(secrets)
        ours = section(self.services, "apiproxy")
        for name in secrets:
            self.assertIn(f"_FILE: /run/secrets/{name}\n", ours)
        self.assertNotRegex(ours, r"(?m)^ *\w+_(KEY|TOKEN):")
        agent = section(self.services, "agent")
        self.assertNotIn("secrets", agent)
        keys = re.findall(r"_API_KEY: (.*)", agent)
        self.assertEqual(set(keys), {"placeholder"})

    def test_containers_can_do_little(self) -> None:
        """Every service drops its capabilities and cannot gain any."""
        for name in ("apiproxy", "squid", "agent"):
            self.assertEqual(self.of_service(name, "cap_drop"), ["ALL"])
            self.assertIn("no-new-privileges:true", section(self.services, name))


class SquidConfigurationTests(SynchronousTestCase):
    name = "deploy/compose/squid.conf"

    def test_squid_accepts_it(self) -> None:
        """Squid finds nothing to complain about."""
        report = run("squid", "-k", "parse", "-f", self.name)
        self.assertNotRegex(report, "WARNING|ERROR|FATAL")

    def test_only_providers_over_tls(self) -> None:
        """CONNECT to port 443 of the providers is allowed, after all else was denied."""
        lines = read(self.name).splitlines()
        rules = [
            line.split(maxsplit=1)[1]
            for line in lines
            if line.startswith("http_access ")
        ]
        self.assertEqual(
            rules,
            [
                "deny !CONNECT",
                "deny !https",
                "deny !providers",
                "deny own_networks",
                "allow all",
            ],
        )
        hosts = {
            line.split()[-1] for line in lines if line.startswith("acl providers ")
        }
        self.assertEqual(hosts, PROVIDER_HOSTS)
        self.assertIn("acl https port 443", lines)
        self.assertIn("cache deny all", lines)


class LayoutTests(SynchronousTestCase):
    def test_plugin_folder_is_no_package(self) -> None:
        """An __init__.py there would hide Twisted's own plugins."""
        found = sorted(path.name for path in (ROOT / "twisted").rglob("*.py"))
        self.assertEqual(found, ["apiproxy_plugin.py"])

    def test_ci_runs_what_people_run(self) -> None:
        """CI calls ``make test`` and nothing else."""
        commands = [
            line
            for line in read(".ci/run").splitlines()
            if line and not line.startswith("#")
        ]
        self.assertEqual(
            commands, ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
        )

    def test_every_command_has_its_script(self) -> None:
        """Each target of the Makefile but ``help`` calls the script of its name, always."""
        targets = re.findall(r"^([a-z-]+):  ##", read("Makefile"), re.MULTILINE)
        self.assertIn("test", targets)
        phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", read("Makefile"), re.MULTILINE)
        assert phony is not None
        # Else a file or folder of that name (bench/) makes "make" think that all is done.
        self.assertEqual(set(phony[1].replace("\\\n", " ").split()), set(targets))
        for target in set(targets) - {"help"}:
            self.assertTrue((ROOT / "scripts" / target).stat().st_mode & 0o100)


class ScriptTests(SynchronousTestCase):
    def place(self, script: str) -> Path:
        """A checkout with nothing in it but one script, and what it calls faked."""
        root = Path(os.path.abspath(self.mktemp()))
        for name in ("scripts", ".venv/bin"):
            (root / name).mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / script, root / "scripts" / script)
        for name in ("scripts/venv", ".venv/bin/twistd", ".venv/bin/apiproxy"):
            (root / name).write_text(f"#!/bin/sh\necho {name}\n")
            (root / name).chmod(0o755)
        return root

    def ran(self, root: Path, script: str, **variables: str) -> str:
        """The last line that it prints."""
        environ = {"PATH": os.environ["PATH"], **variables}
        command = [root / "scripts" / script]
        done = subprocess.run(command, env=environ, check=True, capture_output=True)
        return done.stdout.decode().strip().rpartition("\n")[2]

    def test_run_serves_what_is_configured(self) -> None:
        """A key or a configuration file is served; with neither there is the demo."""
        root = self.place("run")
        for variables, program in (
            ({}, "apiproxy"),
            ({"APIPROXY_CONFIG": ""}, "apiproxy"),
            ({"APIPROXY_CONFIG": "/etc/apiproxy.toml"}, "twistd"),
            ({"OPENAI_API_KEY": "sk"}, "twistd"),
            ({"GEMINI_API_KEY_FILE": "/run/key"}, "twistd"),
            ({"GOOGLE_API_KEY_COMMAND": "/bin/key"}, "twistd"),
        ):
            self.assertEqual(self.ran(root, "run", **variables), f".venv/bin/{program}")

    def test_clean_removes_what_tests_leave(self) -> None:
        """Under pytest each module's files are in a folder of its own; sources stay."""
        root = self.place("clean")
        for name in ("tests.wire.test_tls", "_trial_temp-1", "tests/wire", ".bench"):
            (root / name).mkdir(parents=True)
        self.ran(root, "clean")
        left = sorted(path.name for path in root.iterdir())
        self.assertEqual(left, ["scripts", "tests"])
