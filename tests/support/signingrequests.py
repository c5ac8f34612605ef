"""Certificate signing requests, made with a key of their own."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery.certificates.signers import KUBE_APISERVER_CLIENT

CLIENT_USAGES = ("digital signature", "client auth")


def key_and_request(
    common_name: str, *organizations: str, names: Sequence[x509.GeneralName] = ()
) -> tuple[bytes, bytes]:
    """Make a key and a request for a user with these groups, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()), pem


def signing_request(
    name: str,
    pem: bytes,
    *,
    signer: str = KUBE_APISERVER_CLIENT,
    usages: Sequence[str] = CLIENT_USAGES,
    seconds: int | None = None,
) -> pb.CertificateSigningRequest:
    """Make the object that asks for a certificate."""
    csr = pb.CertificateSigningRequest()
    csr.metadata.name = name
    csr.spec.request, csr.spec.signerName = pem, signer
    csr.spec.usages.extend(usages)
    if seconds is not None:
        csr.spec.expirationSeconds = seconds
    return csr
