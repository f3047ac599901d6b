"""Importing less: a private trick, worth 14 MB and a third of the time to start.

Twisted imports pyOpenSSL, and with it cryptography, wherever it finds them, because any TCP
connection might be asked for TLS one day; it imports h2 because a browser might ask for
HTTP/2. Ours never are: the TLS here is Python's own (``wire.tls``), and agents speak
HTTP/1.1. Autobahn compiles a fast UTF-8 check on import, for messages we do not parse, and its
package imports WAMP, a protocol on top of WebSockets that nobody speaks here, and with that
cryptography once more.

``leave_out`` says that the first of these are not there, which Twisted and Autobahn are
made to cope with. WAMP has to be there, so something with the one name that the package
wants of it stands in for it. All this must happen before Twisted's sockets are imported, so
only ``tap`` asks for it, first of all; where they have been imported already (under a test
runner, say) nothing is done, nor where it is switched off by ``APIPROXY_LEAN_IMPORTS=off``.
"""

from collections.abc import MutableMapping
from types import ModuleType
from typing import Any

_COLD = ("OpenSSL", "h2")
_WAMP = "autobahn.twisted.wamp"
_TOO_LATE = ("twisted.internet.tcp", "autobahn", *_COLD)


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
    modules[_WAMP] = stand_in = ModuleType(_WAMP)
    stand_in.ApplicationSession = object  # type: ignore[attr-defined]
    environ.setdefault("AUTOBAHN_USE_NVX", "0")
    return True
