"""A secret that was read once and stays."""

from attrs import frozen

from apiproxy.core.values import Secret


@frozen
class StaticSource:
    """Always the same secret.

    Attributes:
        secret: None for none.
        awaited: whether there may be one later; never.
    """

    secret: Secret | None
    awaited: bool = False

    def current(self) -> Secret | None:
        """The secret."""
        return self.secret
