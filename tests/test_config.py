"""Settings as a whole."""

from collections.abc import Mapping

from attrs import evolve, exceptions
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.config import ConfigurationError, Settings
from apiproxy.core.egress import EgressProxy
from apiproxy.core.limits import Deadlines, Limits
from apiproxy.core.values import Secret
from apiproxy.providers.base import Provider

DIRECT = "HTTPS_PROXY is not set: providers are reached directly, without a proxy"


def read(
    environ: Mapping[str, str],
    toml: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Settings:
    def read_file(path: str) -> bytes:
        if files is None or path not in files:
            raise FileNotFoundError
        return files[path]

    return Settings.read(environ, toml, read_file, lambda: "new-id")


class SettingsTests(SynchronousTestCase):
    def provider(self, settings: Settings, name: str) -> Provider:
        (found,) = [one for one in settings.providers if one.name == name]
        return found

    def problems(self, environ: Mapping[str, str], toml: bytes = b"") -> list[str]:
        error = self.assertRaises(ConfigurationError, read, environ, toml)
        self.assertEqual(str(error), "\n".join(error.problems))
        problems: list[str] = error.problems
        return problems

    def test_nothing_need_be_set(self) -> None:
        """The defaults serve loopback, and say that there is no proxy."""
        settings = read({})
        self.assertEqual(len(settings.providers), 6)
        self.assertEqual(settings.warnings, [DIRECT])
        self.assertEqual(
            Settings(providers=settings.providers, warnings=settings.warnings), settings
        )
        self.assertEqual(settings.bind, ("127.0.0.1",))
        self.assertEqual(settings.ca_files, ())

    def test_everything_from_the_environment(self) -> None:
        """Each value arrives where the wire looks for it."""
        settings = read(
            {
                "APIPROXY_BIND": "0.0.0.0,::",
                "APIPROXY_LOG_LEVEL": "debug",
                "APIPROXY_GRACE_SECONDS": "0",
                "APIPROXY_WEBSOCKET": "off",
                "APIPROXY_CA_FILE": "/ca",
                "SSL_CERT_FILE": "/ssl",
                "APIPROXY_DIAL_SECONDS": "1.5",
                "APIPROXY_MAX_BODY_BYTES": "1MiB",
                "APIPROXY_MAX_HEADER_FIELDS": "50",
                "https_proxy": "squid:3128",
            },
            files={"/ca": b"", "/ssl": b""},
        )
        self.assertEqual(settings.bind, ("0.0.0.0", "::"))
        self.assertEqual(settings.log_level, "debug")
        self.assertEqual(settings.grace, 0)
        self.assertFalse(settings.websockets)
        self.assertEqual(settings.ca_files, ("/ssl", "/ca"))
        self.assertEqual(settings.deadlines, Deadlines(dial=1.5))
        self.assertEqual(settings.limits, Limits(body=1048576, fields=50))
        self.assertEqual(settings.proxy, EgressProxy(host="squid", port=3128))
        self.assertEqual(settings.warnings, [])

    def test_everything_from_the_file(self) -> None:
        """The file has tables for what belongs together."""
        settings = read(
            {"APIPROXY_GRACE_SECONDS": "5"},
            b"""
            bind = ["0.0.0.0", "::1"]
            grace = 7
            websockets = false
            [egress]
            proxy = "http://squid:3128"
            no_proxy = ["gw.example", ".corp"]
            require_proxy = true
            [deadlines]
            ping = 30
            [limits]
            message = "1MiB"
            replay = 0
            [providers.openai]
            target = "llm.example"
            key_file = "/key"
            [providers.vertex]
            port = "off"
            """,
            {"/key": b"sesame\n"},
        )
        self.assertEqual(settings.bind, ("0.0.0.0", "::1"))
        self.assertEqual(settings.grace, 5)
        self.assertFalse(settings.websockets)
        self.assertTrue(settings.require_proxy)
        self.assertEqual(settings.deadlines, Deadlines(ping=30.0))
        self.assertEqual(settings.limits, Limits(message=1048576, replay=0))
        self.assertTrue(settings.bypasses("gw.example", 443))
        openai = self.provider(settings, "openai")
        self.assertEqual(openai.host, "llm.example")
        self.assertIsNone(openai.not_configured())
        self.assertNotIn("vertex", [one.name for one in settings.providers])

    def test_prices_come_from_a_file_and_from_the_environment(self) -> None:
        """The environment goes first; a file that is none is a problem."""
        text = '{"openai": {"models": {"m": {"cost": {"input": 1e-6, "output": %s}}}}}'
        environ = {
            "APIPROXY_PRICES_FILE": "/p",
            "AWF_API_PROXY_PROVIDERS": text % "2e-6",
        }
        files = {"/p": (text % "3e-6").replace('"m"', '"n"').encode()}
        overlay = read(environ, files=files).rules.pricing.overlay
        outputs = [overlay.prices["openai"][name].output for name in "mn"]
        self.assertEqual(outputs, [2_000_000, 3_000_000])
        environ = {"APIPROXY_PRICES_FILE": "/p"}
        for data, problem in (
            (b"x", "APIPROXY_PRICES_FILE must be JSON"),
            (
                (text % "-1").encode(),
                "APIPROXY_PRICES_FILE must give openai/m a cost of at least 0"
                " for each token",
            ),
        ):
            error = self.assertRaises(
                ConfigurationError, read, environ, files={"/p": data}
            )
            self.assertEqual(error.problems, [problem])

    def test_every_problem_is_listed_once(self) -> None:
        """One start shows all there is to repair, with the places to do it."""
        problems = self.problems(
            {
                "APIPROXY_BIND": "localhost",
                "APIPROXY_OPENIA_PORT": "1",
                "OPENAI_API_KEY": "a\nb",
                "COPILOT_PROVIDER_TYPE": "azure",
                "COPILOT_PROVIDER_API_KEY": "k",
                "COPILOT_PROVIDER_BASE_URL": "http://plain",
                "ANTHROPIC_API_KEY_FILE": "/missing",
                "SSL_CERT_FILE": "/missing",
                "APIPROXY_CA_FILE": "/missing",
                "NO_PROXY": "a/b",
            },
            b"bindd = 1\n[providers.gemini]\nport = 99999\n",
        )
        self.assertEqual(
            [problem.split()[0] for problem in problems],
            [
                "APIPROXY_BIND",
                "NO_PROXY",
                "OPENAI_API_KEY",
                "COPILOT_PROVIDER_BASE_URL",
                "ANTHROPIC_API_KEY_FILE",
                "providers.gemini.port",
                "APIPROXY_CA_FILE",
                "SSL_CERT_FILE",
                "bindd",
                "APIPROXY_OPENIA_PORT",
            ],
        )

    def test_no_secret_is_shown(self) -> None:
        """Neither by the settings nor by a problem with them."""
        secrets = {
            "OPENAI_API_KEY": "hunter2-a",
            "ANTHROPIC_API_KEY": "hunter2-b",
            "COPILOT_GITHUB_TOKEN": "hunter2-c",
            "COPILOT_PROVIDER_API_KEY": "hunter2-d",
            "GEMINI_API_KEY": "hunter2-e",
            "GOOGLE_API_KEY": "hunter2-f",
            "HTTPS_PROXY": "http://ada:hunter2-g@squid:3128",
            "APIPROXY_LEDGER": "redis://:hunter2-i@redis/0",
        }
        extra = {
            "COPILOT_API_TARGET": "gw.example",
            "AWF_BYOK_EXTRA_HEADERS": '{"x-a": "hunter2-h"}',
        }
        settings = read({**secrets, **extra})
        for text in (repr(settings), str(settings), f"{settings}"):
            self.assertNotIn("hunter2", text)
            self.assertNotIn("YWRhOmh1bnRlcjI", text)
        self.assertEqual(settings.secret_names, {*secrets, "AWF_BYOK_EXTRA_HEADERS"})
        misplaced = {
            name: f"hunter2 \r\n{value}"
            for name, value in {
                **secrets,
                **extra,
                "APIPROXY_BIND": "x",
                "APIPROXY_MAX_BODY_BYTES": "x",
                "APIPROXY_OPENAI_PORT": "x",
                "OPENAI_API_TARGET": "x",
                "OPENAI_API_BASE_PATH": "x",
                "GEMINI_API_KEY_FILE": "x",
                "NO_PROXY": "x",
            }.items()
        }
        problems = self.problems(misplaced, b"[providers.openai]\nkey = 'hunter2'")
        self.assertEqual(len(problems), 17)
        self.assertNotIn("hunter2", "".join(problems))

    def test_secrets_can_be_listed_for_redaction(self) -> None:
        """Those of all providers, and the proxy's."""
        keys = {"OPENAI_API_KEY": "a", "GEMINI_API_KEY": "b"}
        found = [secret.reveal() for secret in read(keys).secrets]
        self.assertEqual(set(found), {b"a", b"b"})
        proxied = read({**keys, "HTTPS_PROXY": "http://u:p@squid"})
        self.assertIn(Secret(b"Basic dTpw"), proxied.secrets)
        self.assertEqual(read({"HTTPS_PROXY": "squid"}).secrets, [])

    def test_settings_cannot_be_changed(self) -> None:
        """A reload makes new ones."""
        settings = read({})
        with self.assertRaises(exceptions.FrozenInstanceError):
            settings.grace = 1.0  # type: ignore[misc]


class ReloadTests(SynchronousTestCase):
    """What a service that runs takes of other settings."""

    def test_what_was_opened_at_the_start_stays(self) -> None:
        """All else is as the new settings say."""
        old = read({"APIPROXY_LEDGER": "redis://:p@h/0", "APIPROXY_WORKERS": "2"})
        new = read(
            {
                "APIPROXY_BIND": "127.0.0.2",
                "APIPROXY_CONTROL_SOCKET": "/run/x",
                "APIPROXY_STATE_DIR": "/var/x",
                "APIPROXY_USAGE_LOG_DIR": "/var/y",
                "APIPROXY_USAGE_LOG_FILES": "9",
                "APIPROXY_USAGE_LOG_BYTES": "99999",
                "APIPROXY_RUN_ID": "other",
            }
        )
        kept = new.in_place_of(old)
        expected = evolve(
            old,
            run_id="other",
            warnings=kept.warnings,
            secret_names=kept.secret_names,
        )
        self.assertEqual(kept, expected)

    def test_providers_are_those_that_are_listened_for(self) -> None:
        """Where they are; one that is gone has no key, and one that is new waits."""
        old = read(
            {
                "OPENAI_API_KEY": "a",
                "GEMINI_API_KEY": "b",
                "APIPROXY_VERTEX_PORT": "off",
                "APIPROXY_ANTHROPIC_PORT": "1",
            }
        )
        new = read({"OPENAI_API_KEY": "c", "APIPROXY_GEMINI_PORT": "off"})
        kept = {one.name: one for one in new.in_place_of(old).providers}
        self.assertEqual(list(kept), [one.name for one in old.providers])
        self.assertEqual(kept["anthropic"].port, 1)
        self.assertEqual(kept["openai"].secrets, [Secret(b"c")])
        self.assertIsNone(kept["gemini"].credential)


class EgressTests(SynchronousTestCase):
    PROXY: Mapping[str, str] = {"HTTPS_PROXY": "http://squid:3128"}

    def test_proxy_is_on_the_way_to_every_provider(self) -> None:
        """Except to hosts that NO_PROXY covers."""
        settings = read({**self.PROXY, "NO_PROXY": ".anthropic.com"})
        proxies = {one.name: settings.proxy_for(one) for one in settings.providers}
        self.assertIsNone(proxies.pop("anthropic"))
        self.assertEqual(set(proxies.values()), {EgressProxy(host="squid", port=3128)})

    def test_first_variable_counts(self) -> None:
        """HTTPS_PROXY before HTTP_PROXY, upper case before lower."""
        for environ, host in [
            ({"HTTPS_PROXY": "a", "https_proxy": "b", "HTTP_PROXY": "c"}, "a"),
            ({"https_proxy": "b", "HTTP_PROXY": "c"}, "b"),
            ({"HTTP_PROXY": "c", "http_proxy": "d"}, "c"),
            ({"http_proxy": "d"}, "d"),
        ]:
            proxy = read(environ).proxy
            assert proxy is not None
            self.assertEqual(proxy.host, host)

    def test_without_a_proxy_everything_is_direct(self) -> None:
        """Which is said once, at start."""
        settings = read({"HTTPS_PROXY": " "})
        self.assertTrue(settings.bypasses("api.openai.com", 443))
        self.assertIsNone(settings.proxy_for(settings.providers[0]))
        self.assertEqual(settings.warnings, [DIRECT])

    def test_proxy_can_be_required(self) -> None:
        """Then neither a missing one nor a way around it is accepted."""
        required = {"APIPROXY_REQUIRE_PROXY": "1"}
        self.assertTrue(read({**self.PROXY, **required}).require_proxy)
        for more, expected in [
            ({}, "HTTPS_PROXY must be set: APIPROXY_REQUIRE_PROXY is on"),
            (
                {**self.PROXY, "NO_PROXY": "api.anthropic.com"},
                "NO_PROXY must not cover api.anthropic.com (anthropic):"
                " APIPROXY_REQUIRE_PROXY is on",
            ),
        ]:
            error = self.assertRaises(ConfigurationError, read, {**required, **more})
            self.assertEqual(error.problems, [expected])
