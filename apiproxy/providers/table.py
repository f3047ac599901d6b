"""The providers that need no configuration beside their key, in the order of their ports."""

from apiproxy.providers import anthropic, copilot, gemini, openai, opencode, vertex
from apiproxy.providers.blueprint import Blueprint

BUILT_IN: tuple[Blueprint, ...] = (
    openai.BLUEPRINT,
    anthropic.BLUEPRINT,
    copilot.BLUEPRINT,
    gemini.BLUEPRINT,
    opencode.BLUEPRINT,
    vertex.BLUEPRINT,
)
"""``opencode`` stands after those it stands in for."""
