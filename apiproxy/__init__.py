"""The credential-isolating API sidecar for AI agents."""

__version__ = "0.1.0"
