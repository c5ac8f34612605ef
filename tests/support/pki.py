"""A certificate authority for tests, in a folder of the test's own."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.apimachinery.clock import SystemClock

LIFETIME = datetime.timedelta(days=1)
SKEW = datetime.timedelta(minutes=5)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files: whom to trust, and one identity."""

    ca: Path
    certificate: Path
    key: Path


class TestAuthority:
    """Signs certificates for ``localhost``, ``kubernetes`` and 127.0.0.1 that serve as server's and client's alike."""

    __test__ = False  # the name is not a test's

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("kubelab test CA", "")
        now = datetime.datetime.fromtimestamp(SystemClock().time(), datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        common_name: str,
        organization: str = "",
        *,
        addresses: tuple[str, ...] = ("127.0.0.1",),
        names: tuple[str, ...] = ("localhost", "kubernetes"),
        process: str = "",
        usages: tuple[x509.ObjectIdentifier, ...] = (SERVER, CLIENT),
        lifetime: datetime.timedelta = LIFETIME,
    ) -> Files:
        """Sign a certificate for CN/O; its files are named after the common name, a second one replaces them."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.fromtimestamp(SystemClock().time(), datetime.UTC)
        also: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        also += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        if process:
            also.append(x509.UniformResourceIdentifier(f"kubelab:process:{process}"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name, organization))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + lifetime)
            .add_extension(x509.SubjectAlternativeName(also), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = common_name.replace(":", "-").replace("/", "-")
        files = Files(self.ca, self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


def _name(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)
