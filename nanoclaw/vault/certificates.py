"""The certificates of our own authority, made with the library ``cryptography``.

Imported late and in the vault (and by ``nanoclaw extras``) only: the library is an extra. A root
signs leaves and nothing else below it; a leaf names one host. Keys are P-256, made here, and leave
this module only as text for ``authority`` to keep and for OpenSSL to load.
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANISATION = "NanoClaw"
BACKDATED = timedelta(hours=1)
"""A clock may have been set back a little since."""
MAX_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificate as PEM text."""

    key: str = field(repr=False)
    certificate: str


def make_root(name: str, made_at: datetime, ends_at: datetime) -> Pair:
    """A certificate that may sign certificates of hosts; ``name`` tells it from others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    usage = _usage(signs_certificates=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, subject, made_at - BACKDATED, ends_at)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    return Pair(_pem(key), _text(builder.sign(key, hashes.SHA256())))


class LeafMaker:
    """Signs for one root. All leaves have one key, which lives as long as this object."""

    def __init__(self, root: Pair) -> None:
        signer = serialization.load_pem_private_key(root.key.encode(), password=None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError("the root's key is not one of ours")
        self._signer = signer
        self._root = x509.load_pem_x509_certificate(root.certificate.encode())
        self._key = ec.generate_private_key(ec.SECP256R1())

    def make(self, host: str, now: datetime, life: timedelta) -> Pair:
        """For a name or an address; ends with its root at the latest."""
        ends_at = min(now + life, self._root.not_valid_after_utc)
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._signer.public_key())
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = (
            _builder(_name(host), self._root.subject, now - BACKDATED, ends_at)
            .public_key(self._key.public_key())
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(server, critical=False)
            .add_extension(own, critical=False)
            .add_extension(signed_by, critical=False)
        )
        return Pair(_pem(self._key), _text(builder.sign(self._signer, hashes.SHA256())))


def _builder(
    subject: x509.Name, issuer: x509.Name, begins_at: datetime, ends_at: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins_at)
        .not_valid_after(ends_at)
    )


def _name(common: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)]
    if len(common) <= MAX_COMMON_NAME:  # the longest that X.509 allows; the SAN is what counts
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common))
    return x509.Name(parts)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
