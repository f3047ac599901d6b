"""From settings to providers."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.providers.base import Provider
from apiproxy.settings.listeners import listen_variables, read_providers
from apiproxy.settings.sources import Sources

MISTRAL = b"[providers.mistral]\ntarget = 'api.mistral.ai'\nport = 10010\n"


def no_file(path: str) -> bytes:
    raise FileNotFoundError


class ListenerTests(SynchronousTestCase):
    def read(
        self, environ: dict[str, str], toml: bytes = b""
    ) -> tuple[dict[str, Provider], list[str]]:
        sources = Sources(environ, toml, no_file)
        providers = read_providers(sources, lambda: "id")
        sources.report_unknown()
        return {provider.name: provider for provider in providers}, sources.problems

    def test_all_listen_by_default(self) -> None:
        """Configured or not: the answer then says what to set."""
        providers, problems = self.read({})
        self.assertEqual(
            [provider.port for provider in providers.values()],
            [10000, 10001, 10002, 10003, 10004, 10005],
        )
        self.assertEqual(problems, [])

    def test_provider_can_be_switched_off(self) -> None:
        """By either place; its key still serves OpenCode."""
        for environ, toml in [
            ({"APIPROXY_OPENAI_PORT": "off"}, b""),
            ({}, b"[providers.openai]\nport = 'off'"),
        ]:
            providers, problems = self.read({**environ, "OPENAI_API_KEY": "k"}, toml)
            self.assertNotIn("openai", providers)
            self.assertEqual(providers["opencode"].host, "api.openai.com")
            self.assertEqual(problems, [])

    def test_socket_instead_of_and_beside_a_port(self) -> None:
        """With the port off, only the socket is left."""
        providers, problems = self.read(
            {
                "APIPROXY_OPENAI_PORT": "off",
                "APIPROXY_OPENAI_SOCKET": "/run/o.sock",
                "APIPROXY_GEMINI_SOCKET": "/run/g.sock",
            }
        )
        openai, gemini = providers["openai"], providers["gemini"]
        self.assertEqual((openai.port, openai.socket), (None, "/run/o.sock"))
        self.assertEqual((gemini.port, gemini.socket), (10003, "/run/g.sock"))
        self.assertEqual(problems, [])

    def test_ports_and_sockets_differ(self) -> None:
        """Two listeners cannot share one; any free port is no particular one."""
        problems = self.read(
            {
                "APIPROXY_GEMINI_PORT": "10001",
                "APIPROXY_OPENAI_SOCKET": "/run/x",
                "APIPROXY_VERTEX_SOCKET": "/run/x",
            }
        )[1]
        self.assertEqual(
            problems,
            [
                "APIPROXY_GEMINI_PORT must differ from that of anthropic,"
                " which has it too",
                "APIPROXY_VERTEX_SOCKET must differ from that of openai,"
                " which has it too",
            ],
        )
        anywhere = {"APIPROXY_OPENAI_PORT": "0", "APIPROXY_GEMINI_PORT": "0"}
        self.assertEqual(self.read(anywhere)[1], [])
        shut = {"APIPROXY_GEMINI_PORT": "10001", "APIPROXY_ANTHROPIC_PORT": "off"}
        self.assertEqual(self.read(shut)[1], [])

    def test_provider_by_configuration_alone(self) -> None:
        """Its key comes from a variable that is named after it, or as configured."""
        providers, problems = self.read({"MISTRAL_API_KEY": "k"}, MISTRAL)
        mistral = providers["mistral"]
        self.assertEqual((mistral.port, mistral.title), (10010, "mistral"))
        self.assertIsNone(mistral.not_configured())
        self.assertEqual(problems, [])
        providers, problems = self.read(
            {"MY_KEY": "k", "APIPROXY_MISTRAL_PORT": "7"},
            MISTRAL + b"title = 'Mistral'\nkey_env = 'MY_KEY'\nscheme = ''",
        )
        mistral = providers["mistral"]
        self.assertEqual((mistral.port, mistral.title), (7, "Mistral"))
        credential = mistral.credential
        assert credential is not None
        self.assertEqual(credential.field(), (b"Authorization", b"k"))
        self.assertEqual(problems, [])

    def test_such_a_provider_needs_a_place_and_an_upstream(self) -> None:
        """A socket or an explicit "off" is a place too."""
        for toml, expected in [
            (b"target = 'x'", ["providers.x.port (or socket) must be set"]),
            (b"target = 'x'\nsocket = '/x'", []),
            (b"target = 'x'\nport = 'off'", []),
            (b"port = 7", ["providers.x.target must name the upstream host"]),
        ]:
            self.assertEqual(self.read({}, b"[providers.x]\n" + toml)[1], expected)

    def test_nonsense_in_such_a_provider_is_a_problem(self) -> None:
        """A key in the place of its variable's name is not repeated."""
        problems = self.read(
            {}, MISTRAL + b"key_env = 'sk-hunter2'\n[providers.Bad_Name]\nport = 1"
        )[1]
        self.assertEqual(
            problems,
            [
                "providers.mistral.key_env must name an environment variable",
                "providers.Bad_Name must be named in a-z, 0-9 and -",
                "providers.Bad_Name.port is not a setting",
            ],
        )

    def test_variables_are_named_after_the_provider(self) -> None:
        """A hyphen cannot stand in a variable."""
        self.assertEqual(
            listen_variables("my-llm"),
            ("APIPROXY_MY_LLM_PORT", "APIPROXY_MY_LLM_SOCKET"),
        )
