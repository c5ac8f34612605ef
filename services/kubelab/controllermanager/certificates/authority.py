"""The authority that signs requests: its two files, and the certificate that it makes of a request
(upstream: ``pkg/controller/certificates/authority``)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from kubelab.apimachinery.certificates import requests
from kubelab.apimachinery.certificates.requests import RequestError

BACKDATED = datetime.timedelta(minutes=5)
SHORT = datetime.timedelta(hours=8)  # a certificate that lasts less ends as late as it was asked to
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_NO_KEY_USAGE = dict.fromkeys(_KEY_USAGES.values(), False)
_EXTENDED_KEY_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class AuthorityError(Exception):
    """The authority cannot sign; the message names the file and says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority's certificate and key, in PEM. Both are read anew for each signature: they may be renewed."""

    certificate: Path
    key: Path

    def sign(self, pem: bytes, usages: Iterable[str], lasts: datetime.timedelta, now: datetime.datetime) -> bytes:
        """Make the certificate, in PEM, that a request asks for: its subject, key and alternative names, for these
        usages and so long, but no longer than the authority's own. Blocks. RequestError, AuthorityError."""
        issuer, key = self._read()
        ends = now + lasts if lasts < SHORT else now + lasts - BACKDATED
        if now >= issuer.not_valid_after_utc:
            raise AuthorityError(f"{self.certificate}: refusing to sign a certificate with an expired CA")
        csr = requests.parse(pem)
        try:
            builder = (
                x509.CertificateBuilder()
                .subject_name(csr.subject)
                .issuer_name(issuer.subject)
                .public_key(csr.public_key())  # pyright: ignore[reportArgumentType]
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - BACKDATED)
                .not_valid_after(min(ends, issuer.not_valid_after_utc))
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            )
            for extension, critical in _extensions(csr, [*usages]):
                builder = builder.add_extension(extension, critical=critical)
            made = builder.sign(key, hashes.SHA256())
        except (TypeError, ValueError, UnsupportedAlgorithm) as err:  # a key that no certificate can be made of
            raise RequestError(f"the request cannot be signed: {err}") from err
        return made.public_bytes(serialization.Encoding.PEM)

    def _read(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        except OSError as err:
            raise AuthorityError(str(err)) from err
        except (ValueError, TypeError) as err:
            raise AuthorityError(f"{self.certificate}, {self.key}: {err}") from err
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AuthorityError(f"{self.key}: is not the key of {self.certificate}")
        return certificate, key


def _extensions(csr: x509.CertificateSigningRequest, usages: list[str]) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    bits = {_KEY_USAGES[usage]: True for usage in usages if usage in _KEY_USAGES}
    if bits:
        found.append((x509.KeyUsage(**{**_NO_KEY_USAGE, **bits}), True))
    purposes = dict.fromkeys(_EXTENDED_KEY_USAGES[usage] for usage in usages if usage in _EXTENDED_KEY_USAGES)
    if purposes:
        found.append((x509.ExtendedKeyUsage(purposes), False))
    names = requests.alternative_names(csr)
    if [*names]:
        found.append((names, False))
    return found
