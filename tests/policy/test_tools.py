"""What is done about what a request has the provider do for it."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.errors import ToolRefused
from apiproxy.core.exchange import Exchange
from apiproxy.core.values import Ask
from apiproxy.policy.inspection import ToolUse
from apiproxy.policy.tools import ToolPolicy, ToolRule


class PolicyTests(SynchronousTestCase):
    """Rules, as they are written in the setting."""

    def setUp(self) -> None:
        self.reported: list[str] = []
        self.exchange = Exchange("id", "openai", "POST", "/", seconds=float)

    def policy(self, *rules: str) -> ToolPolicy:
        """Rules as they are written in the setting."""
        return ToolPolicy(
            map(ToolRule.parse, rules),
            lambda exchange, use: self.reported.append(f"{exchange.id} {use}"),
        )

    def test_by_default_all_is_reported(self) -> None:
        """And passes."""
        policy = self.policy()
        uses = [ToolUse("mcp", "a.example"), ToolUse("unreadable")]
        self.assertIsNone(policy.decide(self.exchange, uses))
        self.assertEqual(self.reported, ["id mcp at a.example", "id unreadable"])
        self.assertEqual(repr(policy), "<ToolPolicy reports all>")
        self.assertEqual((policy.denies, policy.quiet), (False, False))

    def test_the_most_exact_rule_decides(self) -> None:
        """Host before kind before all; of equals the last."""
        policy = self.policy(
            "mcp:good.example=allow",
            "mcp:*.corp.example=report",
            "mcp=deny",
            "*=allow",
            "code=allow",
            "code=deny",
        )
        for use, verdict in (
            (ToolUse("mcp", "good.example"), "allow"),
            (ToolUse("mcp", "a.corp.example"), "report"),
            (ToolUse("mcp", "evilcorp.example"), "deny"),
            (ToolUse("mcp", "?"), "deny"),
            (ToolUse("web_search"), "allow"),
            (ToolUse("code"), "deny"),
        ):
            self.assertEqual(policy.verdict(use), verdict, use)
        self.assertTrue(policy.denies)
        self.assertEqual(
            repr(self.policy("mcp=deny", "*:a=allow")),
            "<ToolPolicy mcp=deny, *:a=allow>",
        )

    def test_a_refusal_names_kind_and_setting(self) -> None:
        """And not the address, which is the agent's."""
        policy = self.policy("mcp=deny", "url=deny")
        uses = [ToolUse("code"), ToolUse("mcp", "evil.example"), ToolUse("url", "x")]
        error = policy.decide(self.exchange, uses)
        assert isinstance(error, ToolRefused)
        self.assertIn("APIPROXY_TOOLS (mcp=deny)", error.message)
        self.assertNotIn("evil", error.message)
        self.assertEqual(self.reported, ["id code"])

    def test_what_cannot_be_read_is_denied_if_anything_is(self) -> None:
        """Unless that is allowed by its own name."""
        use = [ToolUse("unreadable")]
        error = self.policy("mcp=deny", "*=allow").decide(self.exchange, use)
        assert error is not None
        self.assertIn("unreadable=allow", error.message)
        policy = self.policy("mcp=deny", "unreadable=allow")
        self.assertIsNone(policy.decide(self.exchange, use))
        self.assertEqual(self.reported, [])

    def test_as_a_guard(self) -> None:
        """What a path alone tells."""
        ask = Ask(b"POST", b"/v1/batches", b"/v1/batches", [])
        self.assertIsNone(self.policy().check(self.exchange, ask))
        self.assertEqual(self.reported, ["id batch"])
        self.assertIsNotNone(self.policy("batch=deny").check(self.exchange, ask))

    def test_all_allowed(self) -> None:
        """Then nobody need look."""
        self.assertTrue(self.policy("*=allow").quiet)
        self.assertFalse(self.policy("*=allow", "mcp=deny").quiet)

    def test_what_is_no_rule(self) -> None:
        """Kinds and verdicts are known."""
        for text in ("mcp", "mcp=maybe", "telnet=deny", "=deny", "mcp:x"):
            self.assertRaises(ValueError, ToolRule.parse, text)
