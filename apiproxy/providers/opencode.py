"""OpenCode: a listener of its own in front of whichever provider is configured first."""

from attrs import evolve

from apiproxy.core.errors import NotConfigured
from apiproxy.providers.base import Provider
from apiproxy.providers.blueprint import Blueprint, Given

_CANDIDATES = ("openai", "anthropic", "copilot")


def build(given: Given) -> Provider:
    """Make the provider: the first configured candidate under another name.

    Only name, port and socket differ, so everything the candidate does to a request is done
    here too. One whose key a program is still to give counts as configured. With none
    configured it is a shell that says what to set.
    """
    candidates = [given.built[name] for name in _CANDIDATES]
    configured = (
        one for one in candidates if not isinstance(one.not_configured(), NotConfigured)
    )
    return evolve(
        next(configured, candidates[0]),
        name="opencode",
        title="OpenCode",
        port=given.port,
        socket=given.socket,
        probe=None,
        settings=tuple(name for one in candidates for name in one.settings),
    )


BLUEPRINT = Blueprint(name="opencode", title="OpenCode", port=10004, build=build)
