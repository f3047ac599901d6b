"""Whom we trust on the way to providers: the system's authorities, and those of settings."""

import os
import ssl


def trust(*ca_files: str) -> ssl.SSLContext:
    """The context all upstream connections use: TLS 1.2 or newer, HTTP/1.1, verified.

    Args:
        ca_files: PEM files of further authorities, beside the system's.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    system = ssl.get_default_verify_paths()
    if system.cafile != system.openssl_cafile and os.path.isfile(system.openssl_cafile):
        # SSL_CERT_FILE is set, and OpenSSL has read that instead of the system's.
        context.load_verify_locations(system.openssl_cafile)
    for path in ca_files:
        context.load_verify_locations(path)
    return context


def is_usable(ca_file: str) -> bool:
    """Whether a file can be read and holds certificates."""
    try:
        trust(ca_file)
    except OSError:  # ssl.SSLError is one
        return False
    return True
