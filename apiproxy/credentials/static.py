"""A secret that was read once and stays."""

from attrs import frozen

from apiproxy.core.values import Secret


@frozen
class StaticSource:
    """Always the same secret."""

    secret: Secret | None

    def current(self) -> Secret | None:
        """The secret."""
        return self.secret
