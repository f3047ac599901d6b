"""Several processes as one service: what its users, and whoever runs it, see of them."""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.test_tap import GET, KEY, SECONDS, UPLOAD, Service, ServiceCase, ask

TEXT = (
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
    b"Accept: text/plain\r\nConnection: close\r\n\r\n"
)


class WorkersCase(ServiceCase):
    """A service of two workers."""

    def start(self, *arguments: str, **variables: str) -> Service:
        return super().start(*arguments, **{"APIPROXY_WORKERS": "2", **variables})

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + SECONDS
        while not true():
            if time.monotonic() > end:
                self.fail("it never was so")
            time.sleep(0.01)

    def connect(self, port: int) -> socket.socket:
        """A connection of an agent."""
        agent = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.addCleanup(agent.close)
        return agent

    def silent(self) -> socket.socket:
        """An egress proxy that takes connections and says nothing."""
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(SECONDS)
        self.addCleanup(server.close)
        return server

    def hanging(self, port: int, proxy: socket.socket) -> socket.socket:
        """An agent whose exchange is under way, and stays so."""
        agent = self.connect(port)
        agent.sendall(GET % b"/v1/models")
        tunnel, _ = proxy.accept()
        self.addCleanup(tunnel.close)
        return agent

    def figures(self, port: int) -> dict[str, float]:
        """The samples of a scrape that have at most a provider for a label."""
        found = re.findall(
            rb'^(\w+)(?:\{provider="openai"\})? ([0-9.e+]+)$', ask(port, TEXT), re.M
        )
        return {name.decode(): float(value) for name, value in found}

    def requests(self, port: int) -> int:
        """How many exchanges have ended, by a scrape of this moment."""
        answer = ask(port, GET % b"/metrics")
        counters = json.loads(answer.partition(b"\r\n\r\n")[2])["counters"]
        return int(counters.get("requests_total:openai:GET:5xx", 0))


def workers(service: Service) -> dict[int, int]:
    """The workers' process ids, by their numbers."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == service.process.pid and b"--worker" in command:
            found[int(command[command.index(b"--worker") + 1])] = int(entry.name)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs, and is not just a memory of its parent's."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        links = [os.readlink(entry) for entry in folder.iterdir()]
    except OSError:
        raise SkipTest("only root may see what its workers have open") from None
    return sum(link.startswith("socket:") for link in links)


def refused(agent: socket.socket) -> bool:
    """Whether a connection was closed without a word."""
    try:
        agent.sendall(GET % b"/reflect")
        return agent.recv(65536) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


class ServingTests(WorkersCase):
    def test_a_life_in_lines(self) -> None:
        """As of one process: listening and up are said once, all is JSON, the end is 0."""
        service, port, notified = self.ready(APIPROXY_LOG_LEVEL="debug")
        self.assertEqual(service.lines[-1]["workers"], 2)
        self.assertEqual(sorted(workers(service)), [0, 1])
        for _ in range(4):
            answer = ask(port, GET % b"/v1/models?key=AGENT")
            self.assertIn(b"x-apiproxy-error: egress_unreachable", answer)
        service.signal(signal.SIGTERM)
        self.assertEqual(notified.next(), "STOPPING=1")
        self.assertEqual(service.ended(), (0, ""))
        events = [line["event"] for line in service.lines]
        self.assertEqual(events.count("listening"), 1)
        self.assertEqual(events.count("request_complete"), 4)
        messages = [line.get("message") for line in service.lines]
        self.assertEqual(messages.count("apiproxy is up"), 1)
        self.assertEqual(messages.count("draining"), 1)
        self.assertEqual(messages[-1], "all exchanges ended")
        for secret in (KEY, "squid-password-123", "AGENT"):
            self.assertNotIn(secret.encode(), service.raw)

    def test_no_key_on_a_command_line(self) -> None:
        """A worker has it from where the front had it."""
        service = self.start()
        service.up()
        for pid in workers(service).values():
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            self.assertNotIn(KEY.encode(), command)
            self.assertNotIn(b"squid-password-123", command)

    def test_no_key_in_a_worker_s_environment(self) -> None:
        """Not for a moment: between its start and its first step anybody could look."""
        service = self.start()
        service.up()
        os.kill(workers(service)[0], signal.SIGKILL)
        seen = set()

        def look() -> bool:
            for pid in workers(service).values():
                with contextlib.suppress(OSError):
                    seen.add(Path(f"/proc/{pid}/environ").read_bytes())
            return 0 in workers(service)

        self.until(look)
        look()
        for environ in seen:
            self.assertNotIn(KEY.encode(), environ)
            self.assertNotIn(b"squid-password-123", environ)

    def test_connections_are_spread_evenly(self) -> None:
        """Of forty that stay open, each of two workers has twenty."""
        service = self.start()
        port = service.up()
        before = {n: sockets(pid) for n, pid in workers(service).items()}
        for _ in range(40):
            agent = self.connect(port)
            agent.sendall(b"GET /reflect HTTP/1.1\r\nHost: localhost\r\n\r\n")
            agent.recv(65536)
        after = {n: sockets(pid) for n, pid in workers(service).items()}
        self.assertEqual({n: after[n] - before[n] for n in before}, {0: 20, 1: 20})

    def test_many_at_once(self) -> None:
        """A crowd that comes in one moment is let in whole."""
        port = self.start().up()
        agents = [self.connect(port) for _ in range(300)]
        for agent in agents:
            agent.sendall(GET % b"/reflect")
        for agent in agents:
            self.assertTrue(agent.recv(65536).startswith(b"HTTP/1.1 200 "))

    def test_a_unix_socket(self) -> None:
        """It is served like a port."""
        path = self.path()
        service = self.start(APIPROXY_OPENAI_SOCKET=path, APIPROXY_OPENAI_PORT="off")
        service.log(lambda line: line.get("message") == "apiproxy is up")
        for _ in range(4):
            with socket.socket(socket.AF_UNIX) as agent:
                agent.settimeout(SECONDS)
                agent.connect(path)
                agent.sendall(GET % b"/health")
                self.assertTrue(agent.recv(65536).startswith(b"HTTP/1.1 200 "))
        service.signal(signal.SIGTERM)
        self.assertEqual(service.ended()[0], 0)
        self.assertFalse(os.path.exists(path))


class FiguresTests(WorkersCase):
    def test_metrics_and_health_are_of_all(self) -> None:
        """Exactly, at the moment of asking, whoever is asked, in each form."""
        port = self.start().up()
        for number in range(1, 21):
            ask(port, GET % b"/v1/models")
            self.assertEqual(self.requests(port), number)
        figures = self.figures(port)
        self.assertEqual(figures["apiproxy_workers"], 2)
        self.assertEqual(figures["apiproxy_worker_restarts_total"], 0)
        self.assertEqual(figures["apiproxy_request_duration_seconds_count"], 20)
        health = ask(port, GET % b"/health")
        self.assertIn(b'"total_requests":20,"total_errors":20', health)

    def test_a_worker_that_does_not_answer(self) -> None:
        """It is shown as it was last heard, which is counted; the others are not held up."""
        service = self.start()
        port = service.up()
        for _ in range(4):
            ask(port, GET % b"/v1/models")
        self.assertEqual(self.requests(port), 4)
        victim = workers(service)[0]
        os.kill(victim, signal.SIGSTOP)
        self.addCleanup(os.kill, victim, signal.SIGCONT)
        agents = [self.connect(port) for _ in range(2)]
        for agent in agents:
            agent.sendall(TEXT)
            agent.settimeout(5)
        answers = []
        for agent in agents:
            try:
                answers.append(agent.recv(65536))
            except TimeoutError:
                continue
        self.assertTrue(answers)
        self.assertIn(b'status_class="5xx"} 4.0', answers[0])
        self.assertRegex(answers[0], rb"apiproxy_worker_silences_total [1-9]")


class LossTests(WorkersCase):
    def test_a_worker_that_is_killed(self) -> None:
        """It is replaced, others go on, and no counter goes back."""
        service = self.start()
        port = service.up()
        for _ in range(6):
            ask(port, GET % b"/v1/models")
        self.assertEqual(self.requests(port), 6)
        victim = workers(service)[1]
        os.kill(victim, signal.SIGKILL)
        line = service.log(lambda line: line["event"] == "worker_lost")
        self.assertEqual((line["worker"], line["signal"]), (1, signal.SIGKILL))
        self.assertEqual(line["level"], "error")
        ask(port, GET % b"/v1/models")
        self.assertEqual(self.requests(port), 7)
        self.until(lambda: 1 in workers(service))
        self.assertNotEqual(workers(service)[1], victim)
        ask(port, GET % b"/v1/models")
        self.until(lambda: self.figures(port)["apiproxy_workers"] == 2)
        self.assertEqual(self.figures(port)["apiproxy_worker_restarts_total"], 1)
        self.assertEqual(self.requests(port), 8)

    def test_what_a_killed_worker_had_open_is_forgotten(self) -> None:
        """Its connections do not count against the limit any more."""
        service = self.start(APIPROXY_MAX_CONNECTIONS="4")
        port = service.up()
        agents = [self.connect(port) for _ in range(4)]
        for agent in agents:
            agent.sendall(b"GET /reflect HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(agent.recv(65536).startswith(b"HTTP/1.1 200 "))
        self.assertTrue(refused(self.connect(port)))
        os.kill(workers(service)[0], signal.SIGKILL)
        service.log(lambda line: line["event"] == "worker_lost")
        self.assertFalse(refused(self.connect(port)))

    def test_a_worker_that_is_told_to_end(self) -> None:
        """It ends in order and is replaced; what it had counted is not lost."""
        service = self.start()
        port = service.up()
        for _ in range(6):
            ask(port, GET % b"/v1/models")
        os.kill(workers(service)[0], signal.SIGTERM)
        line = service.log(lambda line: line["event"] == "worker_lost")
        self.assertEqual((line["exit_code"], line["signal"]), (0, None))
        self.assertEqual(self.requests(port), 6)

    def test_no_connection_is_lost_with_it(self) -> None:
        """Neither one that is on its way to it, nor what that brings with it."""
        service = self.start()
        port = service.up()
        victim = workers(service)[0]
        os.kill(victim, signal.SIGSTOP)  # so that it finds all of it at once
        agents = [self.connect(port) for _ in range(300)]
        for agent in agents:
            agent.sendall(GET % b"/reflect")
        os.kill(victim, signal.SIGTERM)
        os.kill(victim, signal.SIGCONT)
        for agent in agents:
            self.assertTrue(agent.recv(65536).startswith(b"HTTP/1.1 200 "))
        line = service.log(lambda line: line["event"] == "worker_lost")
        self.assertEqual((line["exit_code"], line["signal"]), (0, None))

    def test_a_front_that_is_killed(self) -> None:
        """Its workers end, too."""
        service = self.start()
        service.up()
        pids = list(workers(service).values())
        self.assertEqual(len(pids), 2)
        service.signal(signal.SIGKILL)
        service.process.wait(SECONDS)
        self.until(lambda: not any(map(alive, pids)))


class LimitTests(WorkersCase):
    def test_exchanges(self) -> None:
        """The limit holds for all workers together."""
        proxy = self.silent()
        service = self.start(
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.getsockname()[1]}",
            APIPROXY_MAX_EXCHANGES="2",
        )
        port = service.up()
        first, _second = self.hanging(port, proxy), self.hanging(port, proxy)
        for _ in range(4):
            self.assertIn(b"too_many_exchanges", ask(port, GET % b"/v1/models"))
        first.close()
        self.until(
            lambda: (
                b"too_many" not in ask(port, GET % b"/health")
                and self.figures(port)["apiproxy_active_requests"] == 1
            )
        )
        self.hanging(port, proxy)

    def test_connections(self) -> None:
        """So does this one; who is one too many is closed without a word."""
        service = self.start(APIPROXY_MAX_CONNECTIONS="3")
        port = service.up()
        agents = [self.connect(port) for _ in range(3)]
        self.assertTrue(refused(self.connect(port)))
        agents[0].close()
        self.until(lambda: not refused(self.connect(port)))


class SignalTests(WorkersCase):
    def test_a_reload_is_for_all(self) -> None:
        """Every worker has the new settings when it is said; a mistake changes nothing."""
        config = self.config("[limits]\nbody = 100\n")
        service, port, notified = self.ready("--config", str(config))

        def statuses() -> set[bytes]:
            return {ask(port, UPLOAD)[9:12] for _ in range(4)}

        self.assertEqual(statuses(), {b"413"})
        config.write_text("[limits]\nbody = 1000\n")
        self.reread(service, notified)
        self.assertEqual(statuses(), {b"502"})
        config.write_text("[limits]\nbody = -1\n")
        service.signal(signal.SIGHUP)
        line = service.log(lambda line: line["event"] == "reload")
        self.assertEqual(line["level"], "error")
        self.assertEqual(statuses(), {b"502"})
        messages = [line.get("message") for line in service.lines]
        self.assertEqual(messages.count("settings are in force"), 1)

    def test_a_worker_s_replacement_has_what_is_in_force(self) -> None:
        """Whatever stands in the file by then, which nobody has been told to read."""
        config = self.config("[limits]\nbody = 100\n")
        service = self.start("--config", str(config))
        port = service.up()
        config.write_text("nonsense")
        os.kill(workers(service)[1], signal.SIGKILL)
        service.log(lambda line: line["event"] == "worker_lost")
        self.until(lambda: self.figures(port)["apiproxy_workers"] == 2)
        for _ in range(8):
            self.assertEqual(ask(port, UPLOAD)[9:12], b"413")
        self.assertEqual(sorted(workers(service)), [0, 1])

    def test_a_stop_waits_for_what_is_under_way(self) -> None:
        """Nobody is let in meanwhile; a second signal ends it at once, in every worker."""
        proxy = self.silent()
        service = self.start(
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.getsockname()[1]}",
            APIPROXY_GRACE_SECONDS="600",
        )
        port = service.up()
        for _ in range(2):
            self.hanging(port, proxy)
        service.signal(signal.SIGTERM)
        line = service.log(lambda line: line["event"] == "shutdown")
        self.assertEqual(line["live"], 2)
        with self.assertRaises(ConnectionRefusedError):
            self.connect(port)
        self.assertEqual(len(workers(service)), 2)
        service.signal(signal.SIGTERM)
        self.assertEqual(service.ended(), (0, ""))
        self.assertEqual(service.lines[-1]["message"], "live exchanges were aborted")

    def test_ctrl_c_goes_to_all(self) -> None:
        """A terminal tells every process; it is one stop all the same."""
        service = self.start()
        service.up()
        for pid in [*workers(service).values(), service.process.pid]:
            os.kill(pid, signal.SIGINT)
        self.assertEqual(service.ended(), (0, ""))
        self.assertEqual(service.lines[-1]["message"], "all exchanges ended")

    def test_a_stop_in_the_middle_of_a_start(self) -> None:
        """It ends with 0, and leaves no worker."""
        service = self.start()
        service.port()
        self.until(lambda: len(workers(service)) == 2)
        pids = list(workers(service).values())
        service.signal(signal.SIGTERM)
        self.assertEqual(service.ended()[0], 0)
        self.assertFalse(any(map(alive, pids)))


class ExitTests(WorkersCase):
    def test_a_port_that_is_taken(self) -> None:
        """Exit code 2; no worker was started for that."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            service = self.start(APIPROXY_OPENAI_PORT=str(port))
            code, said = service.ended()
        self.assertEqual(code, 2)
        self.assertIn("apiproxy: openai: ", said)
        self.assertEqual(len(service.lines), 1)

    def test_settings_that_make_no_sense(self) -> None:
        """Exit code 1, said once."""
        service = self.start(APIPROXY_MAX_BODY_BYTES="lots")
        code, said = service.ended()
        self.assertEqual((code, len(said.splitlines())), (1, 1))
