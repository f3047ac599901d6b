"""What is found in a request."""

import json
import tracemalloc
from typing import Any

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.json_weight import MOST_VALUES
from apiproxy.policy.inspection import ToolUse, host_of, inspect, inspect_request

MCP = {"type": "mcp", "server_label": "x", "server_url": "https://Mcp.Example/sse"}
ASKED: tuple[tuple[dict[str, Any], set[str]], ...] = (
    ({"tools": [MCP]}, {"mcp at mcp.example"}),
    ({"tools": [{"type": "mcp", "connector_id": "connector_x"}]}, {"mcp at ?"}),
    ({"tools": [{"type": "mcp"}]}, {"mcp at ?"}),
    (
        {"mcp_servers": [{"type": "url", "url": "https://a.example/"}]},
        {"mcp at a.example", "url at a.example"},
    ),
    ({"mcp_servers": [{"name": "x"}]}, {"mcp at ?"}),
    ({"tools": [{"type": "web_search_preview"}]}, {"web_search"}),
    ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, {"web_search"}),
    ({"web_search_options": {}}, {"web_search"}),
    ({"tools": [{"googleSearch": {}}]}, {"web_search"}),
    ({"tools": [{"google_search_retrieval": {}}]}, {"web_search"}),
    ({"tools": [{"type": "web_fetch_20250910"}]}, {"web_fetch"}),
    ({"tools": [{"urlContext": {}}]}, {"web_fetch"}),
    (
        {"tools": [{"retrieval": {"externalApi": {"endpoint": "https://e.example"}}}]},
        {"web_fetch at e.example"},
    ),
    (
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        {"code"},
    ),
    ({"tools": [{"type": "code_execution_20250825"}]}, {"code"}),
    ({"tools": [{"codeExecution": {}}]}, {"code"}),
    (
        {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
        {"code"},
    ),
    (
        {
            "input": [
                {"content": [{"type": "input_image", "image_url": "http://i.x/a"}]}
            ]
        },
        {"url at i.x"},
    ),
    (
        {
            "messages": [
                {"content": [{"type": "image_url", "image_url": {"url": "https://i/"}}]}
            ]
        },
        {"url at i"},
    ),
    (
        {
            "messages": [
                {"content": [{"source": {"type": "url", "url": "https://s.x"}}]}
            ]
        },
        {"url at s.x"},
    ),
    (
        {"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/o"}}]}]},
        {"url at bucket"},
    ),
    ({"file_url": "https://f.example:8443/?a"}, {"url at f.example"}),
    ({"webhook": {"url": "https://w.example"}}, {"webhook at w.example"}),
    ({"webhooks": ["https://w.example"]}, {"webhook at w.example"}),
    ({"background": True}, {"background"}),
    ({"type": "response.create", "response": {"tools": [MCP]}}, {"mcp at mcp.example"}),
)
"""Bodies, and what each asks for."""

INNOCENT: tuple[Any, ...] = (
    {"model": "gpt-5", "input": "use web_search and mcp at https://evil.example"},
    {"image_url": "data:image/png;base64,AAAA"},
    {"background": False, "container": None, "webhook": ""},
    {"tools": [{"type": "function", "parameters": {"properties": {"x": {}}}}]},
    {"tools": [{"properties": {"image_url": {"type": "string"}}}]},
    {"input": [{"type": "web_search_call", "status": "completed"}]},
    {"input": [{"type": "mcp_call", "output": "x"}, {"type": "mcp_list_tools"}]},
    {"content": [{"type": "web_search_tool_result", "content": []}]},
    {"content": [{"type": "tool_use", "input": {"image_url": "https://x.example"}}]},
    {"url": "https://x.example", "type": "function"},
    {"text": "\u00e9\u4e2d"},
    [],
    "mcp",
    1,
    None,
)


def found(body: Any) -> set[str]:
    """What is found in a body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return set(map(str, inspect(data)))


class InspectTests(SynchronousTestCase):
    """What a body asks for."""

    def test_every_kind(self) -> None:
        """As each provider has it."""
        for body, uses in ASKED:
            self.assertEqual(found(body), uses, body)

    def test_what_asks_for_nothing(self) -> None:
        """Words in a text, calls that were made before, arguments of the agent's tools."""
        for body in INNOCENT:
            self.assertEqual(found(body), set(), body)
        self.assertEqual(inspect(b""), [])
        self.assertEqual(inspect(b" \r\n"), [])

    def test_escapes_hide_nothing(self) -> None:
        """However the letters of keys and types are written."""
        for body, uses in ASKED:
            text = json.dumps(body)
            escaped = "".join(
                f"\\u{ord(each):04x}" if each.isalpha() or each == "_" else each
                for each in text
            )
            for word in ("true", "null", "false"):
                hidden = "".join(f"\\u{ord(each):04x}" for each in word)
                escaped = escaped.replace(hidden, word)
            self.assertEqual(found(escaped.encode()), uses, escaped)

    def test_white_space_hides_nothing(self) -> None:
        """However much there is before the body, and whatever encoding it has."""
        body = '{"tools":[{"type":"web_search"}]}'
        for size in (0, 1, 63, 64, 65, 100_000):
            for space in " \t\r\n":
                for encoding in ("utf-8", "utf-16", "utf-32"):
                    padded = (space * size + body).encode(encoding)
                    self.assertEqual(inspect(padded), [ToolUse("web_search")])
        self.assertEqual(inspect(b" \n" * 1000), [])
        self.assertEqual(inspect(b" " * 100 + b"--x\r\n"), [ToolUse("upload")])

    def test_case_and_underscores_hide_nothing(self) -> None:
        """Some readers do not see the difference."""
        for body in (
            {"Tools": [{"TYPE": "MCP", "Server-URL": "https://mcp.example"}]},
            {"tools": [{"type": "mcp", "serverUrl": "https://mcp.example"}]},
            {"tool\u017f": [{"type": "mcp", "\u017ferver_url": "https://mcp.example"}]},
        ):
            self.assertEqual(found(body), {"mcp at mcp.example"}, body)

    def test_repeats_hide_nothing(self) -> None:
        """Whichever of two a reader takes, it was seen."""
        twice = b'{"tools":[%b],"tools":[%b]}'
        tool, none = json.dumps(MCP).encode(), b'{"type":"function"}'
        for body in (twice % (tool, none), twice % (none, tool)):
            self.assertEqual(found(body), {"mcp at mcp.example"})
        body = b'{"server_url":"https://a.example","server_url":"https://b.example"}'
        self.assertEqual(found(body), {"mcp at a.example", "mcp at b.example"})
        body = b'{"type":"function","type":"web_search"}'
        self.assertEqual(found(body), {"web_search"})
        body = b'{"type":"tool_use","input":{},"input":{"background":true}}'
        self.assertEqual(found(body), {"background"})

    def test_a_request_that_looks_like_a_call_hides_nothing(self) -> None:
        """Many a provider passes over a member that it does not know."""
        image = {"type": "input_image", "image_url": "https://i.example"}
        wanted = {"type": "tool_use", "input": [{"content": [image]}]}
        for body in (
            wanted,
            {"type": "response.create", "response": wanted},
            {"type": "tool_use", "input": image},
        ):
            self.assertEqual(found(body), {"url at i.example"}, body)

    @given(st.integers(1, 800), st.booleans())
    def test_depth_hides_nothing(self, depth: int, lists: bool) -> None:
        """A tool at any depth that can be read."""
        start, end = (b"[", b"]") if lists else (b'{"a":', b"}")
        body = start * depth + json.dumps(MCP).encode() + end * depth
        self.assertIn(found(body).pop(), ("mcp at mcp.example", "unreadable"))

    def test_what_cannot_be_read(self) -> None:
        """If there is a word in it that would matter, it counts; nothing is raised."""
        for body in (
            b'{"tools":[{"type":"mcp"}',
            b'{"type":"mcp"} trailing',
            b'"\xff"',
            b"[" * 100_000 + b'"mcp"',
        ):
            self.assertEqual(found(body), {"unreadable"}, body[:40])
        self.assertEqual(found(b"x" * (32 * 1024 * 1024 + 1)), {"unreadable"})
        self.assertEqual(found(b"--boundary\r\n"), {"upload"})

    def test_a_million_values(self) -> None:
        """Nothing is made of them, so that no body fills the memory; prose may be long."""
        many = b'{"url":1,"x":[' + b"[]," * 200_000 + b"0]}"
        accented = many.replace(b"1", "\u00e9".encode())
        for body in (many, accented, many.decode().encode("utf-16")):
            self.assertEqual(found(body), {"unreadable"})
        text = "[1, 2, 3]" * 200_000
        body = json.dumps({"x": text, "tools": [{"type": "mcp"}]}).encode()
        self.assertEqual(found(body), {"mcp at ?"})

    def test_long_strings(self) -> None:
        """Of a picture or an address only the beginning is looked at, which has the host."""
        address = "https://i.example/" + "a" * 100_000
        body = {"image_url": address, "x": "\U0001f600" * 400_000, "type": "mcp"}
        for text in (json.dumps(body), json.dumps(body, ensure_ascii=False)):
            self.assertEqual(found(text.encode()), {"url at i.example", "mcp at ?"})

    def test_too_much_to_be_parsed(self) -> None:
        """Even with its long strings shortened."""
        short = json.dumps([{"url": "x" * 4000}] * 1200).encode()
        self.assertEqual(found(short), {"unreadable"})

    def test_nothing_but_quotes_or_escapes(self) -> None:
        """They have few values, and others would wait until all were looked at."""
        for piece in (b'"', b"\\n", b'\\"'):
            body = b'{"x":"%b"}' % (piece * 2_000_001)
            self.assertEqual(found(body), {"unreadable"})

    def test_memory(self) -> None:
        """Python's own text of a body with one emoji in it is four times as large."""
        body = b'{"type":"mcp","x":"%b"}' % ("\U0001f600".encode() + b"a" * 8_000_000)
        for text in (body, body.replace(b"mcp", b"none")):
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            inspect(text)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertLess(most, 3 * len(body))

    def test_a_million_values_in_other_encodings(self) -> None:
        """An escaped quote ends no string there, either: the lists after it count."""
        text = '{"url":"\\"","x":[' + "[]," * (MOST_VALUES + 1) + '"\\""]}'
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"):
            self.assertEqual(inspect(text.encode(encoding)), [ToolUse("unreadable")])

    def test_other_encodings(self) -> None:
        """Some readers of JSON find out by themselves."""
        for encoding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"):
            body = json.dumps({"tools": [MCP]}).encode(encoding)
            self.assertEqual(found(body), {"mcp at mcp.example"}, encoding)

    @given(st.binary(max_size=300))
    def test_nothing_is_raised(self, body: bytes) -> None:
        """For any bytes."""
        inspect(body)
        inspect(b'{"type":"mcp","x":' + body + b"}")

    def test_no_more_is_told_than_is_useful(self) -> None:
        """A body with thousands of addresses has a bounded list."""
        urls = [{"image_url": f"https://h{n}.example"} for n in range(1000)]
        self.assertEqual(len(inspect(json.dumps(urls).encode())), 256)


class HostTests(SynchronousTestCase):
    """Where an address leads."""

    def test_hosts(self) -> None:
        """In lower case, without port and final dot."""
        for url, host in (
            ("https://A.example", "a.example"),
            ("https://a.example.:443/x?y#z", "a.example"),
            ("gs://bucket/o", "bucket"),
        ):
            self.assertEqual(host_of(url), host)

    def test_what_two_readers_read_differently(self) -> None:
        """Is no host that anybody allows."""
        for url in (
            "https://good.example@evil.example/",
            "https://good.example\\@evil.example/",
            "https:\\\\evil.example",
            "https:/evil.example",
            "//evil.example",
            " https://evil.example",
            "https://evil.example\t/",
            "https://[::1]/",
            "https://good.example:80@evil.example",
            "https://ev\u0131l.example",
            "https://good.example%2f.evil.example",
            "https://.",
            "file-abc",
        ):
            self.assertEqual(host_of(url), "?", url)


class RequestTests(SynchronousTestCase):
    """What a path alone asks for."""

    def test_paths(self) -> None:
        """Batches and uploads; reading them is neither."""
        for path, kinds in (
            (b"/v1/batches", ["batch"]),
            (b"/v1/messages/batches", ["batch"]),
            (b"/v1beta/models/m:batchGenerateContent", ["batch"]),
            (b"/v1/files", ["upload"]),
            (b"/upload/v1beta/files", ["upload"]),
            (b"/v1/uploads/u/parts", ["upload"]),
            (b"/v1/containers", ["code"]),
            (b"/v1/containers/c/files", ["upload", "code"]),
            (b"/v1/responses", []),
        ):
            uses = inspect_request(b"POST", path)
            self.assertEqual([use.kind for use in uses], kinds, path)
            self.assertEqual(inspect_request(b"GET", path), [])
