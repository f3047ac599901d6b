"""The process put together, in memory: listeners, reload, the order of its end."""

import json
import os
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from apiproxy import service
from apiproxy.config import Settings
from apiproxy.listening import PortTaken
from apiproxy.outside import Outside
from apiproxy.service import Proxy, complain
from apiproxy.telemetry.lines import LineLog
from apiproxy.wire.reactor import Reactor
from apiproxy.wire.trust import trust
from tests.kit.memory import NOWHERE, MemoryTransport, answer, get
from tests.kit.tls import authority
from tests.wire.test_tls import Peer

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
KEY = "sk-test-key-one-0123456789"


def settings(**variables: str) -> Settings:
    """Settings for these variables, with a proxy and one configured provider."""
    environ = {
        "HTTPS_PROXY": "http://10.0.0.9:3128",
        "OPENAI_API_KEY": KEY,
        "APIPROXY_CA_FILE": str(authority().pem),
        "APIPROXY_VALIDATE_KEYS": "off",
        **variables,
    }

    def read_file(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    set_ones = {name: value for name, value in environ.items() if value}
    return Settings.read(set_ones, None, read_file, lambda: "an-id")


class Taken(MemoryReactorClock):
    """Some ports are taken."""

    def listenTCP(self, port: int, *args: Any, **kwargs: Any) -> Any:
        if port == 10001:
            raise CannotListenError(kwargs.get("interface", ""), port, OSError("taken"))
        return super().listenTCP(port, *args, **kwargs)


class ProxyCase(SynchronousTestCase):
    """A process without a process."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.lines: list[bytes] = []
        self.notified: list[str] = []

    def proxy(self, chosen: Settings | None = None) -> Proxy:
        """A proxy that listens on nothing yet."""
        chosen = chosen or settings()
        log = LineLog(self.lines.append, level=chosen.log_level, now=lambda: 0.0)
        return Proxy(
            chosen,
            cast(Reactor, self.reactor),
            log,
            outside=Outside(notify=self.notified.append),
            seconds=self.reactor.seconds,
        )

    def started(self, chosen: Settings | None = None) -> Proxy:
        """One that serves, as twistd starts it."""
        proxy = self.proxy(chosen)
        proxy.privilegedStartService()
        proxy.startService()
        return proxy

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of this event."""
        return [line for line in map(json.loads, self.lines) if line["event"] == event]

    def turn(self, seconds: int = 0) -> None:
        """Let time pass."""
        for _ in range(10):
            self.reactor.advance(0)
        for _ in range(seconds * 10):
            self.reactor.advance(0.1)

    def agent(self, proxy: Proxy, name: str = "openai") -> MemoryTransport:
        """An agent connects."""
        channel = proxy.sites[name].buildProtocol(None)
        assert channel is not None
        return MemoryTransport(channel, clock=self.reactor)

    def upstream(self) -> Peer:
        """The provider, at the other end of the newest tunnel."""
        protocol = self.reactor.tcpClients[-1][2].buildProtocol(NOWHERE)
        assert protocol is not None
        peer = Peer(authority().identity(), self.reactor)
        peer.transport.connect(protocol)
        peer.connect = peer.transport.clear()  # type: ignore[attr-defined]
        peer.transport.deliver(OPEN)
        peer.pump()
        return peer

    def stopped(self, proxy: Proxy) -> "Deferred[None]":
        """It is told to stop."""
        stopping = proxy.stopService()
        self.turn()
        return stopping


class ServingTests(ProxyCase):
    """From an agent's request to the provider and back, with nothing left out."""

    def test_one_request_through_everything(self) -> None:
        """Tunnel, verified TLS, the key; one line in the log; figures."""
        proxy = self.started()
        agent = self.agent(proxy)
        agent.deliver(
            get("/v1/models", "Authorization: Bearer AGENT", "X-Request-Id: r1")
        )
        peer = self.upstream()
        self.assertIn(b"\r\nAuthorization: Bearer " + KEY.encode(), peer.heard)
        self.assertNotIn(b"AGENT", peer.heard)
        peer.send(answer(b"hello"))
        self.turn()
        self.assertTrue(agent.written.endswith(b"\r\n\r\nhello"))
        self.reactor.advance(0.1)
        (line,) = self.logged("request_complete")
        self.assertEqual(
            [line[name] for name in ("request_id", "provider", "status", "path")],
            ["r1", "openai", 200, "/v1/models"],
        )
        agent.clear()
        agent.deliver(get("/metrics", "Accept: text/plain"))
        self.assertIn(b'state="idle"', agent.written)
        self.assertNotIn(KEY.encode(), agent.written)
        self.assertNotIn(KEY.encode(), b"".join(self.lines))

    def test_each_port_answers_for_itself(self) -> None:
        """``/metrics`` and the whole's health are on one port only."""
        proxy = self.started()
        for name, metrics in (("openai", True), ("anthropic", False)):
            agent = self.agent(proxy, name)
            agent.deliver(get("/health"))
            _head, _, body = agent.clear().partition(b"\r\n\r\n")
            self.assertEqual("providers" in json.loads(body), metrics, body)
            agent.deliver(get("/reflect"))
            self.assertTrue(agent.clear().startswith(b"HTTP/1.1 200 OK\r\n"))
            agent.deliver(get("/metrics"))
            self.assertEqual(b"HTTP/1.1 200 OK" in agent.clear(), metrics)
        self.assertEqual(proxy.census.live, 0)

    def test_a_request_that_is_refused_is_logged(self) -> None:
        """Though it never became an exchange."""
        agent = self.agent(self.started())
        agent.deliver(b"nonsense\r\n\r\n")
        (line,) = self.logged("request_refused")
        self.assertEqual(
            [line[name] for name in ("level", "provider", "status", "error")],
            ["warning", "openai", 400, "malformed_request"],
        )
        self.assertIn(line["request_id"].encode(), agent.written)

    def test_deadlines_are_kept(self) -> None:
        """By the watch that the process starts."""
        proxy = self.started(settings(APIPROXY_KEEPALIVE_SECONDS="5"))
        agent = self.agent(proxy)
        self.turn(7)
        self.assertTrue(agent.disconnected)

    def test_a_bug_is_logged_with_its_traceback(self) -> None:
        """As a failure, which the log makes a line of."""
        complain("something broke", ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ListeningTests(ProxyCase):
    """What is listened on."""

    def test_every_provider_has_its_port(self) -> None:
        """Configured or not; each is logged, and what it lacks."""
        proxy = self.started()
        ports = [server[0] for server in self.reactor.tcpServers]
        self.assertEqual(ports, [10000, 10001, 10002, 10003, 10004, 10005])
        self.assertEqual(
            {server[3] for server in self.reactor.tcpServers}, {"127.0.0.1"}
        )
        lines = {line["provider"]: line for line in self.logged("listening")}
        self.assertEqual(lines["openai"]["configured"], True)
        self.assertEqual(lines["anthropic"]["configured"], False)
        self.assertIn("ANTHROPIC_API_KEY", lines["anthropic"]["hint"])
        self.assertEqual(lines["openai"]["upstream_host"], "api.openai.com")
        self.assertEqual(len(proxy.ports), 6)
        up = self.logged("startup")[-1]
        self.assertEqual(up["providers_configured"], ["openai", "opencode"])

    def test_several_addresses_and_a_unix_socket(self) -> None:
        """Each is listened on."""
        path = "/run/apiproxy/openai"
        proxy = self.proxy(
            settings(APIPROXY_BIND="127.0.0.1,::1", APIPROXY_OPENAI_SOCKET=path)
        )
        proxy.startService()
        addresses = [line["address"] for line in self.logged("listening")]
        self.assertEqual(self.reactor.unixServers[0][0], path)
        self.assertEqual(len(self.reactor.tcpServers), 12)
        self.assertEqual(len(addresses), 13)
        self.assertTrue(proxy.running)

    def test_a_unix_socket_alone(self) -> None:
        """A provider need not have a port."""
        path = "/run/apiproxy/openai"
        self.started(settings(APIPROXY_OPENAI_SOCKET=path, APIPROXY_OPENAI_PORT="off"))
        self.assertNotIn(10000, [server[0] for server in self.reactor.tcpServers])
        self.assertEqual(self.reactor.unixServers[0][0], path)

    def test_a_port_that_is_taken(self) -> None:
        """It is said whose."""
        self.reactor = Taken()
        proxy = self.proxy()
        error = self.assertRaises(PortTaken, proxy.privilegedStartService)
        self.assertIn("anthropic: ", str(error))

    def test_warnings_are_logged_at_start(self) -> None:
        """Such as that there is no proxy."""
        self.started(settings(HTTPS_PROXY=""))
        warnings = [
            line for line in self.logged("startup") if line["level"] == "warning"
        ]
        self.assertIn("HTTPS_PROXY is not set", warnings[0]["message"])


class KeyTests(ProxyCase):
    """Whether providers take their keys, which is found out at start."""

    def checked(self, how: str, refused: bool) -> "KeyProxy":
        """A proxy whose keys have been checked."""
        chosen = settings(APIPROXY_VALIDATE_KEYS=how)
        log = LineLog(self.lines.append, level="info", now=lambda: 0.0)
        given_up: list[str] = []
        proxy = KeyProxy(
            chosen,
            cast(Reactor, self.reactor),
            log,
            outside=Outside(give_up=lambda: given_up.append(how)),
        )
        proxy.given_up = given_up
        proxy.keycheck.start = (  # type: ignore[method-assign]
            lambda providers, rejected: proxy.check(rejected if refused else None)
        )
        proxy.startService()
        return proxy

    def test_only_strict_ends_the_process(self) -> None:
        """And only if a key is refused."""
        given_up = [
            len(self.checked(how, refused).given_up)
            for how in ("off", "warn", "strict")
            for refused in (False, True)
        ]
        self.assertEqual(given_up, [0, 0, 0, 0, 0, 1])
        self.assertEqual(len(self.logged("key_validation_strict_exit")), 1)

    def test_a_check_that_breaks(self) -> None:
        """It is reported, and the service goes on."""
        proxy = self.checked("warn", refused=False)
        self.assertNoResult(proxy.checking)
        proxy.checking.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_stop_ends_the_check(self) -> None:
        """Without a word."""
        proxy = self.checked("warn", refused=False)
        told: list[str] = []
        proxy.keycheck.stop = lambda: told.append("stop")  # type: ignore[method-assign]
        stopping = self.stopped(proxy)
        self.turn(1)
        self.successResultOf(stopping)
        self.assertEqual(told, ["stop"])
        proxy.checking.cancel()
        self.assertEqual(proxy.cancelled, 1)


class KeyProxy(Proxy):
    """Its check ends when the test says so.

    Attributes:
        checking: the check.
        cancelled: how often it was.
        given_up: noted when the process is to end.
    """

    given_up: list[str]
    cancelled = 0

    def check(self, refused: Callable[[], None] | None) -> "Deferred[None]":
        """Begin a check that refuses a key, or none."""
        self.checking: Deferred[None] = Deferred(self._cancel)
        if refused is not None:
            refused()
        return self.checking

    def _cancel(self, _: object) -> None:
        self.cancelled += 1


class StoppingTests(ProxyCase):
    """The order of its end."""

    def test_with_nothing_going_on(self) -> None:
        """Ports are closed, the service manager is told, all in order."""
        proxy = self.started()
        stopping = self.stopped(proxy)
        self.turn(1)
        self.successResultOf(stopping)
        self.assertEqual(self.notified, ["READY=1", "STOPPING=1"])
        self.assertEqual(proxy.ports, [])
        messages = [line["message"] for line in self.logged("shutdown")]
        self.assertEqual(messages, ["draining", "all exchanges ended"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_live_exchanges_end(self) -> None:
        """Within the grace; no other is let in meanwhile."""
        proxy = self.started()
        agent, idle = self.agent(proxy), self.agent(proxy)
        agent.deliver(get())
        peer = self.upstream()
        stopping = self.stopped(proxy)
        self.turn(5)
        self.assertNoResult(stopping)
        self.assertTrue(idle.half_closed)
        peer.send(answer(b"last words"))
        self.assertTrue(agent.written.endswith(b"last words"))
        agent.close()
        self.turn(1)
        self.successResultOf(stopping)

    def test_the_grace_is_over(self) -> None:
        """Who still waits for an answer is told why there will be none; that is logged."""
        proxy = self.started(settings(APIPROXY_GRACE_SECONDS="3"))
        agent = self.agent(proxy)
        agent.deliver(get())
        self.upstream()
        stopping = self.stopped(proxy)
        self.turn(6)
        self.successResultOf(stopping)
        self.assertIn(b"x-apiproxy-error: shutting_down", agent.written)
        last = self.logged("shutdown")[-1]
        self.assertEqual(last["message"], "live exchanges were aborted")

    def test_a_hurry(self) -> None:
        """What is under way is aborted, and not waited for any more."""
        proxy = self.started()
        self.agent(proxy).deliver(get())
        stopping = self.stopped(proxy)
        self.turn(1)
        self.assertNoResult(stopping)
        proxy.hurry()
        self.turn(1)
        self.successResultOf(stopping)

    def test_a_hurry_that_comes_early(self) -> None:
        """It is remembered until there is something to hurry: two quick signals are two."""
        proxy = self.started()
        self.agent(proxy).deliver(get())
        proxy.hurry()
        stopping = self.stopped(proxy)
        self.turn(1)
        self.successResultOf(stopping)
        last = self.logged("shutdown")[-1]
        self.assertEqual(last["message"], "live exchanges were aborted")


class ReloadTests(ProxyCase):
    """Other settings, the same process."""

    def test_a_new_key_is_used_from_now_on(self) -> None:
        """What is under way ends with the old one; ports and connections stay."""
        proxy = self.started()
        old_agent, new_agent = self.agent(proxy), self.agent(proxy)
        old_agent.deliver(get())
        old = self.upstream()
        listening = list(proxy.ports)
        proxy.reload(settings(OPENAI_API_KEY="sk-test-key-two-0123456789"))
        new_agent.deliver(get())
        new = self.upstream()
        self.assertIn(KEY.encode(), old.heard)
        self.assertIn(b"sk-test-key-two-0123456789", new.heard)
        old.send(answer(b"old"))
        new.send(answer(b"new"))
        self.assertTrue(old_agent.written.endswith(b"old"))
        self.assertTrue(new_agent.written.endswith(b"new"))
        self.assertEqual(proxy.ports, listening)
        self.assertTrue(old.transport.aborted)
        self.assertFalse(new.transport.aborted)
        self.assertEqual(self.notified, ["READY=1", "RELOADING=1", "READY=1"])
        self.assertEqual(self.logged("reload")[-1]["message"], "settings are in force")
        log = b"".join(self.lines)
        self.assertNotIn(KEY.encode(), log)
        self.assertNotIn(b"sk-test-key-two", log)

    def test_a_provider_gets_its_first_key(self) -> None:
        """The endpoints tell of it too."""
        proxy = self.started()
        proxy.reload(settings(ANTHROPIC_API_KEY="sk-ant-0123456789abcdef"))
        agent = self.agent(proxy, "anthropic")
        agent.deliver(get("/health"))
        self.assertIn(b"HTTP/1.1 200 OK", agent.written)
        agent.deliver(get())
        self.assertIn(b"sk-ant-0123456789abcdef", self.upstream().heard)

    def test_a_changed_port_waits_for_a_restart(self) -> None:
        """It is warned of; on the old port everything else is in force."""
        proxy = self.started()
        before = len(self.reactor.tcpServers)
        proxy.reload(settings(APIPROXY_OPENAI_PORT="11000", OPENAI_API_KEY="sk-b" * 9))
        self.assertEqual(len(self.reactor.tcpServers), before)
        (warning,) = [
            line for line in self.logged("reload") if line["level"] == "warning"
        ]
        self.assertEqual(warning["provider"], "openai")
        agent = self.agent(proxy)
        agent.deliver(get())
        self.assertIn(b"Bearer sk-bsk-b", self.upstream().heard)

    def test_a_provider_that_is_new_waits_for_a_restart(self) -> None:
        """It has no listener yet."""
        proxy = self.started(settings(APIPROXY_VERTEX_PORT="off"))
        self.assertNotIn("vertex", proxy.sites)
        proxy.reload(settings())
        self.assertNotIn("vertex", proxy.sites)
        (warning,) = [
            line for line in self.logged("reload") if line["level"] == "warning"
        ]
        self.assertEqual(warning["provider"], "vertex")

    def test_a_provider_that_is_gone_serves_no_more(self) -> None:
        """It is warned of; its listener stays until a restart, and refuses."""
        proxy = self.started()
        proxy.reload(settings(APIPROXY_OPENAI_PORT="off"))
        (warning,) = [
            line for line in self.logged("reload") if line["level"] == "warning"
        ]
        self.assertEqual(warning["provider"], "openai")
        agent = self.agent(proxy)
        agent.deliver(get())
        self.assertIn(b"x-apiproxy-error: provider_not_configured", agent.written)

    def asked(self, proxy: Proxy, target: str) -> Any:
        """What the first provider's port answers itself."""
        agent = self.agent(proxy)
        agent.deliver(get(target))
        return json.loads(agent.clear().partition(b"\r\n\r\n")[2])

    def warned(self) -> list[Any]:
        """Of which listeners it was said that they change only by a restart."""
        lines = [line for line in self.logged("reload") if "provider" in line]
        self.lines.clear()
        return [line["provider"] for line in lines]

    def test_what_is_shown_is_what_listens(self) -> None:
        """Old addresses and ports, new keys; and every reload warns anew."""
        proxy = self.started(settings(APIPROXY_VERTEX_PORT="off"))
        changed = settings(
            APIPROXY_ANTHROPIC_PORT="11001",
            APIPROXY_GEMINI_PORT="off",
            ANTHROPIC_API_KEY="sk-ant-0123456789abcdef",
        )
        for _ in range(2):
            proxy.reload(changed)
            self.assertEqual(self.warned(), ["gemini", "anthropic", "vertex"])
        shown = {
            one["provider"]: (one["base_url"], one["configured"])
            for one in self.asked(proxy, "/reflect")["endpoints"]
        }
        self.assertEqual(shown["openai"], ("http://127.0.0.1:10000", True))
        self.assertEqual(shown["anthropic"], ("http://127.0.0.1:10001", True))
        self.assertEqual(shown["gemini"], ("http://127.0.0.1:10003", False))
        self.assertNotIn("vertex", shown)
        health = self.asked(proxy, "/health")["providers"]
        self.assertEqual(set(health), set(shown))
        self.assertTrue(health["anthropic"])

    def test_a_port_that_manages_goes_on_to(self) -> None:
        """Though the settings have it no more, it answers for the process."""
        proxy = self.started()
        proxy.reload(settings(APIPROXY_OPENAI_PORT="off"))
        self.assertIn("providers", self.asked(proxy, "/health"))

    def test_other_addresses_wait_for_a_restart(self) -> None:
        """It is warned of for every listener, and the old ones are shown."""
        proxy = self.started()
        proxy.reload(settings(APIPROXY_BIND="127.0.0.2"))
        self.assertEqual(len(self.warned()), 6)
        (first, *_) = self.asked(proxy, "/reflect")["endpoints"]
        self.assertEqual(first["base_url"], "http://127.0.0.1:10000")

    def test_the_log_level_is_in_force(self) -> None:
        """From the reload on."""
        proxy = self.started(settings(APIPROXY_LOG_LEVEL="error"))
        self.assertEqual(self.lines, [])
        proxy.reload(settings(APIPROXY_LOG_LEVEL="info"))
        self.assertEqual(len(self.logged("reload")), 1)
        proxy.reload(settings(APIPROXY_LOG_LEVEL="error"))
        self.assertEqual(len(self.logged("reload")), 1)

    def test_warnings_are_logged_again(self) -> None:
        """What will surprise may have come with the new settings."""
        proxy = self.started()
        proxy.reload(settings(HTTPS_PROXY=""))
        first, last = self.logged("reload")
        self.assertEqual(first["level"], "warning")
        self.assertIn("HTTPS_PROXY is not set", first["message"])
        self.assertEqual(last["message"], "settings are in force")

    def test_new_keys_are_checked(self) -> None:
        """By the new way; what was found of the old ones is gone."""
        check = {"APIPROXY_VALIDATE_KEYS": "strict"}
        proxy = self.started(settings(**check))
        self.assertIn(b"Bearer " + KEY.encode(), self.upstream().heard)
        old = proxy.keycheck
        old.results["openai"] = {"status": "valid", "message": "HTTP 200"}
        new_key = "sk-test-key-two-0123456789"
        proxy.reload(
            settings(
                OPENAI_API_KEY=new_key, HTTPS_PROXY="http://10.0.0.7:3128", **check
            )
        )
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("10.0.0.7", 3128))
        validation = self.asked(proxy, "/health")["key_validation"]
        self.assertNotIn("openai", validation["results"])
        self.assertFalse(validation["complete"])
        peer = self.upstream()
        self.assertIn(b"Bearer " + new_key.encode(), peer.heard)
        peer.send(answer(b"", "401 Unauthorized"))
        self.turn()
        validation = self.asked(proxy, "/health")["key_validation"]
        self.assertEqual(validation["results"]["openai"]["status"], "auth_rejected")
        self.assertEqual(self.logged("key_validation_strict_exit"), [])
        self.assertTrue(proxy.running)

    def test_a_reload_in_the_middle_of_a_stop(self) -> None:
        """Nothing new is begun."""
        proxy = self.started()
        self.agent(proxy).deliver(get())
        self.assertNoResult(self.stopped(proxy))
        dials = len(self.reactor.tcpClients)
        proxy.reload(settings(APIPROXY_VALIDATE_KEYS="warn"))
        self.turn()
        self.assertEqual(len(self.reactor.tcpClients), dials)

    def test_one_trust_and_one_memory_for_all(self) -> None:
        """The check of the keys resumes what requests began, and the other way round."""
        made: list[Any] = []

        def counted(*files: str) -> Any:
            made.append(files)
            return trust(*files)

        self.patch(service, "trust", counted)
        proxy = self.started()
        self.assertEqual(len(made), 1)
        proxy.reload(settings())
        self.assertEqual(len(made), 2)

    def test_open_sockets_are_still_known(self) -> None:
        """So that a later stop ends them."""
        proxy = self.started()
        site = proxy.sites["openai"]
        bridges = site.route.bridges
        proxy.reload(settings())
        self.assertIs(site.route.bridges, bridges)

    def test_settings_that_cannot_be_put_in_force(self) -> None:
        """Nothing changes, and the service manager is told that we are ready."""
        proxy = self.started()
        empty = self.mktemp()
        with open(empty, "w") as file:
            file.write("no certificate")
        route = proxy.sites["openai"].route
        chosen = settings(APIPROXY_CA_FILE=os.path.abspath(empty))
        self.assertRaises(OSError, proxy.reload, chosen)
        self.assertIs(proxy.sites["openai"].route, route)
        self.assertTrue(proxy.running)
        self.assertEqual(self.notified[-1], "READY=1")
