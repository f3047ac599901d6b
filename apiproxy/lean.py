"""Importing less: a private trick, worth 7 MB and a third of the time to start.

Twisted imports pyOpenSSL, and with it cryptography, wherever it finds them, because any TCP
connection might be asked for TLS one day; it imports h2 because a browser might ask for
HTTP/2. Ours never are: the TLS here is Python's own (``wire.tls``), and agents speak
HTTP/1.1. Autobahn compiles a fast UTF-8 check on import, for messages we do not parse.

``leave_out`` says that these packages are not there, which Twisted and Autobahn are made to
cope with. It must run before Twisted's sockets are imported, so only ``tap`` calls it, first
of all; where they have been imported already (under a test runner, say) it does nothing, as
it does when switched off by ``APIPROXY_LEAN_IMPORTS=off``.
"""

from collections.abc import MutableMapping
from typing import Any

_COLD = ("OpenSSL", "h2")
_TOO_LATE = ("twisted.internet.tcp", *_COLD)


def leave_out(
    modules: MutableMapping[str, Any], environ: MutableMapping[str, str]
) -> bool:
    """Leave the cold packages out of this process.

    Args:
        modules: ``sys.modules``.
        environ: ``os.environ``.

    Returns:
        Whether they are left out.
    """
    switch = environ.get("APIPROXY_LEAN_IMPORTS", "").strip().lower()
    if switch in ("off", "0", "false", "no"):
        return False
    if any(name in modules for name in _TOO_LATE):
        return False
    for name in _COLD:
        modules[name] = None
    environ.setdefault("AUTOBAHN_USE_NVX", "0")
    return True
