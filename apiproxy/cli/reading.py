"""Settings for the subcommands that look at them without serving."""

import os
import uuid
from pathlib import Path

from apiproxy.config import ConfigurationError, Settings


def read_settings(path: str | None) -> Settings:
    """What the service would be told here: this environment, and a file.

    Args:
        path: of the configuration file; None for ``APIPROXY_CONFIG``, or none.

    Raises:
        ConfigurationError: with every problem there is.
    """
    environ = dict(os.environ)
    path = path or environ.get("APIPROXY_CONFIG")
    environ.pop("APIPROXY_CONFIG", None)
    try:
        toml = Path(path).read_bytes() if path else None
    except OSError as error:
        problem = f"--config: {path} cannot be read: {error.strerror}"
        raise ConfigurationError([problem]) from error
    return Settings.read(
        environ, toml, lambda name: Path(name).read_bytes(), lambda: str(uuid.uuid4())
    )
