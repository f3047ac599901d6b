"""Each agent's recipe leads it to apiproxy and has no key in it."""

import json
import tomllib

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.cli.recipes import PLACEHOLDER, RECIPES, Lines, local_urls, recipe
from tests.kit.running import ROOT


def lines(name: str, host: str = "127.0.0.1", **environ: str) -> Lines:
    """Those of an agent."""
    found = recipe(name)
    assert found is not None
    return found.lines(local_urls(environ, host))


class RecipeTests(SynchronousTestCase):
    def test_every_agent_is_led_to_its_listener(self) -> None:
        """The URL has host and port of the right provider, and a path where one is wanted."""
        for name, variable, url in (
            ("claude", "ANTHROPIC_BASE_URL", "http://127.0.0.1:10001"),
            ("gemini", "GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:10003"),
            ("copilot", "COPILOT_PROVIDER_BASE_URL", "http://127.0.0.1:10000/v1"),
            ("openai", "OPENAI_BASE_URL", "http://127.0.0.1:10000/v1"),
            ("anthropic", "ANTHROPIC_BASE_URL", "http://127.0.0.1:10001"),
            ("google", "GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:10003"),
        ):
            self.assertEqual(lines(name).variables[variable], url, name)

    def test_codex_gets_a_provider_with_websockets(self) -> None:
        """The file's text is TOML, and the arguments say the same."""
        codex = lines("codex")
        (file,) = codex.files
        settings = tomllib.loads(file.text)
        provider = settings["model_providers"][settings["model_provider"]]
        self.assertEqual(provider["base_url"], "http://127.0.0.1:10000/v1")
        self.assertIs(provider["supports_websockets"], True)
        self.assertEqual(codex.variables, {provider["env_key"]: PLACEHOLDER})
        flags, told = codex.arguments[::2], codex.arguments[1::2]
        self.assertEqual(set(flags), {"-c"})
        self.assertEqual(tomllib.loads("\n".join(told)), settings)

    def test_opencode_knows_three_providers(self) -> None:
        """Each at its own listener."""
        text = lines("opencode").variables["OPENCODE_CONFIG_CONTENT"]
        urls = {
            name: each["options"]["baseURL"]
            for name, each in json.loads(text)["provider"].items()
        }
        self.assertEqual(
            urls,
            {
                "openai": "http://127.0.0.1:10000/v1",
                "anthropic": "http://127.0.0.1:10001/v1",
                "google": "http://127.0.0.1:10003/v1beta",
            },
        )

    def test_another_host_and_port(self) -> None:
        """A port is taken from apiproxy's own setting, if that is a number."""
        claude = lines("claude", "::1", APIPROXY_ANTHROPIC_PORT="7001")
        self.assertEqual(claude.variables["ANTHROPIC_BASE_URL"], "http://[::1]:7001")
        claude = lines("claude", "box", APIPROXY_ANTHROPIC_PORT="off")
        self.assertEqual(claude.variables["ANTHROPIC_BASE_URL"], "http://box:10001")

    def test_the_documentation_has_the_same_lines(self) -> None:
        """What ``apiproxy env`` prints is in docs/agents.md, for those who set it by hand."""
        page = (ROOT / "docs/agents.md").read_text()
        for each in RECIPES:
            made = lines(each.name)
            for name, value in made.variables.items():
                line = f"{name}={value.replace(PLACEHOLDER, 'placeholder')}"
                self.assertIn(name if value.startswith("{") else line, page, each.name)
            for file in made.files:
                self.assertIn(f"`{file.path}`", page)

    def test_names(self) -> None:
        """Every recipe is found by its own, and nothing by another."""
        for each in RECIPES:
            self.assertIs(recipe(each.name), each)
        self.assertIsNone(recipe("emacs"))
