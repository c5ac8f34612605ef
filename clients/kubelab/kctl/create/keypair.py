"""Whether a certificate and a private key belong together, in the words of Go's ``tls.X509KeyPair``."""

from __future__ import annotations

import re
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def problem(certificate: bytes, key: bytes) -> str:
    """Say what is wrong with a pair of PEM texts; empty where the key is the certificate's."""
    chain = _block(certificate, lambda kind: kind == "CERTIFICATE")
    if chain is None:
        return _no_certificate(certificate)
    private = _block(key, _is_key)
    if private is None:
        return _no_key(key)
    try:
        public = x509.load_pem_x509_certificate(chain).public_key()
    except ValueError as err:
        return f"x509: malformed certificate: {err}"
    try:
        own = serialization.load_pem_private_key(private, None).public_key()
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    same = own.public_bytes(*form) == public.public_bytes(*form)
    return "" if same else "tls: private key does not match public key"


def _is_key(kind: str) -> bool:
    return kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY")


def _block(text: bytes, wanted: Callable[[str], bool]) -> bytes | None:
    return next((m[0] for m in _BLOCK.finditer(text) if wanted(m[1].decode())), None)


def _kinds(text: bytes) -> list[str]:
    return [m[1].decode() for m in _BLOCK.finditer(text)]


def _no_certificate(text: bytes) -> str:
    kinds = _kinds(text)
    if not kinds:
        return "tls: failed to find any PEM data in certificate input"
    if len(kinds) == 1 and _is_key(kinds[0]):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may "
            "have been switched"
        )
    return f'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the \
following types: [{" ".join(kinds)}]'


def _no_key(text: bytes) -> str:
    kinds = _kinds(text)
    if not kinds:
        return "tls: failed to find any PEM data in key input"
    if kinds == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{' '.join(kinds)}]"
    )
