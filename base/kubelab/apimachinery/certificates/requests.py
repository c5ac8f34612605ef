"""What a PKCS #10 request asks for (RFC 2986), and what a kubelet's must look like.

Imported by those that read requests only: the library behind it takes a while to load.
"""

from __future__ import annotations

from collections.abc import Collection

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

NODES, NODE_PREFIX = "system:nodes", "system:node:"
DIGITAL_SIGNATURE, KEY_ENCIPHERMENT = "digital signature", "key encipherment"
CLIENT_AUTH, SERVER_AUTH = "client auth", "server auth"
_BEGIN, _END = b"-----BEGIN ", b"-----"
_TYPE = b"CERTIFICATE REQUEST"


class RequestError(Exception):
    """A request that cannot be read, or is not what its signer takes; the message says why."""


def parse(pem: bytes) -> x509.CertificateSigningRequest:
    """Read a request. RequestError where it is none."""
    start = pem.find(_BEGIN)
    kind = pem[start + len(_BEGIN) :].partition(_END)[0] if start >= 0 else b""
    if kind != _TYPE:
        raise RequestError("PEM block type must be CERTIFICATE REQUEST")
    try:
        return x509.load_pem_x509_csr(pem[start:])
    except (ValueError, UnsupportedAlgorithm) as err:
        raise RequestError(f"the request cannot be read: {err}") from err


def verify(csr: x509.CertificateSigningRequest) -> None:
    """RequestError unless the request is signed by the key that it names."""
    try:
        valid = csr.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as err:
        raise RequestError(f"the signature of the request cannot be verified: {err}") from err
    if not valid:
        raise RequestError("the signature of the request is not valid")


def names(subject: x509.Name, kind: x509.ObjectIdentifier) -> list[str]:
    """Give the parts of one kind of a subject, in order."""
    return [str(part.value) for part in subject.get_attributes_for_oid(kind)]


def common_name(csr: x509.CertificateSigningRequest) -> str:
    """Give the name of the user that a request is for; the last one where there are several, as Go reads them."""
    return (names(csr.subject, NameOID.COMMON_NAME) or [""])[-1]


def organizations(csr: x509.CertificateSigningRequest) -> list[str]:
    """Give the groups of the user that a request is for."""
    return names(csr.subject, NameOID.ORGANIZATION_NAME)


def alternative_names(csr: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName:
    """Give the subject's alternative names; RequestError where they cannot be read."""
    try:
        return csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
    except (ValueError, x509.DuplicateExtension) as err:
        raise RequestError(f"the extensions of the request cannot be read: {err}") from err


def dns_names(san: x509.SubjectAlternativeName) -> list[str]:
    return san.get_values_for_type(x509.DNSName)


def addresses(san: x509.SubjectAlternativeName) -> list[str]:
    return [str(address) for address in san.get_values_for_type(x509.IPAddress)]


def emails(san: x509.SubjectAlternativeName) -> list[str]:
    return san.get_values_for_type(x509.RFC822Name)


def uris(san: x509.SubjectAlternativeName) -> list[str]:
    return san.get_values_for_type(x509.UniformResourceIdentifier)


def check_kubelet_client(csr: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """RequestError, in upstream's words, for what is no request of a kubelet for its client certificate."""
    san = alternative_names(csr)
    _check_group(csr)
    for found, kind in ((dns_names(san), "DNS"), (emails(san), "Email"), (addresses(san), "IP"), (uris(san), "URI")):
        if found:
            raise RequestError(f"{kind} subjectAltNames are not allowed")
    _check_name(csr)
    _check_usages(usages, CLIENT_AUTH)


def check_kubelet_serving(csr: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """RequestError, in upstream's words, for what is no request of a kubelet for its serving certificate."""
    san = alternative_names(csr)
    _check_group(csr)
    if not dns_names(san) and not addresses(san):
        raise RequestError("DNS or IP subjectAltName is required")
    for found, kind in ((emails(san), "Email"), (uris(san), "URI")):
        if found:
            raise RequestError(f"{kind} subjectAltNames are not allowed")
    _check_usages(usages, SERVER_AUTH)
    _check_name(csr)


def check_client(usages: Collection[str]) -> None:
    """RequestError, in upstream's words, for usages that a client's certificate does not have."""
    for usage in usages:
        if usage not in (DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, CLIENT_AUTH):
            raise RequestError(f"invalid usage for client certificate: {usage}")
    if CLIENT_AUTH not in usages:
        raise RequestError(f"missing required usage for client certificate: {CLIENT_AUTH}")


def _check_group(csr: x509.CertificateSigningRequest) -> None:
    if organizations(csr) != [NODES]:
        raise RequestError(f"subject organization is not {NODES}")


def _check_name(csr: x509.CertificateSigningRequest) -> None:
    if not common_name(csr).startswith(NODE_PREFIX):
        raise RequestError(f"subject common name does not begin with {NODE_PREFIX}")


def _check_usages(usages: Collection[str], purpose: str) -> None:
    required = {DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, purpose}
    if set(usages) not in (required, required - {KEY_ENCIPHERMENT}):
        raise RequestError(f"usages did not match [{' '.join(sorted(required))}]")
