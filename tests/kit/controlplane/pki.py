"""Certificates for one control plane: elliptic keys, made in milliseconds."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAMES = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
_ADDRESSES = ["127.0.0.1", "10.0.0.1"]


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Authority:
    """A certificate authority that writes what it signs into a folder.

    `bare`: without key usage and key identifiers, as older clusters have it; Python 3.13's strict mode refuses those.
    """

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    bare: bool

    @classmethod
    def create(cls, folder: Path, name: str, *, bare: bool = False) -> Authority:
        """Make a self-signed authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        if not bare:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, True)
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        authority = cls(folder, builder.sign(key, hashes.SHA256()), key, bare)
        (folder / "ca.crt").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    def issue(self, file: str, name: str, group: str | None = None, *, server: bool = False) -> None:
        """Write `file.crt` and `file.key`."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, key)
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), False)
        if server:
            addresses = [x509.IPAddress(ipaddress.ip_address(a)) for a in _ADDRESSES]
            names = [x509.DNSName(n) for n in _NAMES]
            builder = builder.add_extension(x509.SubjectAlternativeName([*addresses, *names]), False)
        if not self.bare:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, False)
        certificate = builder.sign(self.key, hashes.SHA256())
        (self.folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{file}.key").write_bytes(_pem(key))

    def signing_pair(self, file: str) -> None:
        """Write `file.key` and `file.pub`, for service account tokens."""
        key = ec.generate_private_key(ec.SECP256R1())
        (self.folder / f"{file}.key").write_bytes(_pem(key))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / f"{file}.pub").write_bytes(public)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
    )
