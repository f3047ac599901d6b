"""A private authority, and certificates of every kind a provider could show.

Made once per process, because keys take time; the files go away with the process.
"""

import atexit
import datetime
import functools
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import Any

import trustme
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)

HOSTS = (
    "api.openai.com",
    "api.anthropic.com",
    "api.githubcopilot.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "localhost",
    "127.0.0.1",
)
"""The names that ``Authority.identity()`` is for unless told otherwise."""


@frozen
class Identity:
    """A server's private key and certificate chain.

    Attributes:
        key: PEM file with the private key.
        chain: PEM file with the certificate, then the intermediates if there are any.
    """

    key: Path
    chain: Path

    def options(
        self,
        *,
        protocols: tuple[bytes, ...] = (b"http/1.1",),
        highest: TLSVersion | None = None,
    ) -> CertificateOptions:
        """For a Twisted TLS server.

        Args:
            protocols: offered in ALPN; none for a server that does not know ALPN.
            highest: the newest TLS version it speaks, if not the newest there is;
                TLS 1.1 and older need a lower security level, which this sets too.
        """
        leaf, *rest = x509.load_pem_x509_certificates(self.chain.read_bytes())
        key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        # Twisted's annotations name classes of pyOpenSSL, which pyOpenSSL warns of.
        arguments: dict[str, Any] = {
            "privateKey": key,
            "certificate": leaf,
            "extraCertChain": rest,
            "acceptableProtocols": list(protocols) or None,
        }
        if highest is not None:
            arguments["insecurelyLowerMinimumTo"] = TLSVersion.TLSv1_0
            arguments["lowerMaximumSecurityTo"] = highest
        options = CertificateOptions(**arguments)
        if highest is not None and highest in (TLSVersion.TLSv1_0, TLSVersion.TLSv1_1):
            options.getContext().set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        return options

    def context(self) -> ssl.SSLContext:
        """For a server made with the standard library."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


class Authority:
    """A certificate authority and what it has issued.

    Attributes:
        folder: where all the files are.
        pem: file with the authority's certificate, as ``APIPROXY_CA_FILE`` wants it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = trustme.CA()
        self._count = 0
        self.pem = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.pem))

    @functools.cache  # noqa: B019  # lives as long as the process, like its authority
    def identity(self, *names: str) -> Identity:
        """A good certificate for these host names; for ``HOSTS`` if none are given."""
        return self._store(self._authority.issue_cert(*(names or HOSTS)))

    def wrong_name(self) -> Identity:
        """A certificate that is good in all but its name."""
        return self.identity("somebody-else.example")

    @functools.cache  # noqa: B019  # as above
    def expired(self, *names: str) -> Identity:
        """A certificate whose time ended yesterday."""
        now = datetime.datetime.now(datetime.UTC)
        return self._store(
            self._authority.issue_cert(
                *(names or HOSTS),
                not_before=now - datetime.timedelta(days=30),
                not_after=now - datetime.timedelta(days=1),
            )
        )

    @functools.cache  # noqa: B019  # as above
    def not_yet_valid(self, *names: str) -> Identity:
        """A certificate whose time begins next month."""
        now = datetime.datetime.now(datetime.UTC)
        return self._store(
            self._authority.issue_cert(
                *(names or HOSTS),
                not_before=now + datetime.timedelta(days=30),
                not_after=now + datetime.timedelta(days=60),
            )
        )

    @functools.cache  # noqa: B019  # as above
    def stranger(self, *names: str) -> Identity:
        """A certificate from another authority, which nobody trusts."""
        return self._store(trustme.CA().issue_cert(*(names or HOSTS)))

    @functools.cache  # noqa: B019  # as above
    def intermediate(self, *names: str, complete: bool = True) -> Identity:
        """A certificate from an intermediate authority.

        Args:
            names: host names; ``HOSTS`` if none are given.
            complete: whether the server sends the intermediate's certificate too.
        """
        leaf = self._authority.create_child_ca().issue_cert(*(names or HOSTS))
        chain = leaf.cert_chain_pems if complete else leaf.cert_chain_pems[:1]
        return self._write(
            leaf.private_key_pem.bytes(), b"".join(blob.bytes() for blob in chain)
        )

    @functools.cache  # noqa: B019  # as above
    def self_signed(self, *names: str) -> Identity:
        """A certificate that vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName(each) for each in (names or HOSTS[:-1])]
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        return self._write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            certificate.public_bytes(serialization.Encoding.PEM),
        )

    def client(
        self, host: str, *, protocols: tuple[bytes, ...] = ()
    ) -> IOpenSSLClientConnectionCreator:
        """For a Twisted TLS client that trusts this authority only.

        Args:
            host: the name to ask for and to verify.
            protocols: offered in ALPN.
        """
        trusted = Certificate.loadPEM(self.pem.read_bytes())
        return optionsForClientTLS(
            host,
            trustRoot=trustRootFromCertificates([trusted]),
            acceptableProtocols=list(protocols) or None,
        )

    def trust(self, context: ssl.SSLContext | SSL.Context) -> None:
        """Make a client's context trust this authority."""
        self._authority.configure_trust(context)

    def _store(self, leaf: trustme.LeafCert) -> Identity:
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return self._write(leaf.private_key_pem.bytes(), chain)

    def _write(self, key: bytes, chain: bytes) -> Identity:
        self._count += 1
        identity = Identity(
            self.folder / f"{self._count}.key.pem", self.folder / f"{self._count}.pem"
        )
        identity.key.touch(mode=0o600)
        identity.key.write_bytes(key)
        identity.chain.write_bytes(chain)
        return identity


@functools.cache
def authority() -> Authority:
    """The one authority of this process."""
    folder = Path(tempfile.mkdtemp(prefix="apiproxy-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Authority(folder)
