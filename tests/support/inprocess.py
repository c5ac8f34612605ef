"""Calls of the api-server's gRPC front without a network: the context that a servicer sees."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Mapping
from typing import Any, cast

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.apiserver.grpcfront.requests import Context
from kubelab.auth.roles import MASTERS


@functools.cache
def certificate(name: str = "kubernetes-admin", group: str = MASTERS) -> bytes:
    """Give a client certificate, in PEM, as a TLS handshake would have verified it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)]
    )
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return builder.public_bytes(serialization.Encoding.PEM)


class CallContext:
    """What a servicer asks of a ``grpc.aio.ServicerContext``. ``trailing`` is what it answers besides."""

    def __init__(self, metadata: Iterable[tuple[str, str]] = (), pem: bytes | None = None) -> None:
        self._metadata, self._pem = tuple(metadata), certificate() if pem is None else pem
        self.trailing: tuple[tuple[str, str | bytes], ...] = ()

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {"x509_pem_cert": [self._pem]} if self._pem else {}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailing = tuple(metadata)


def call(metadata: Iterable[tuple[str, str]] = (), pem: bytes | None = None) -> Context:
    """Give the context of one call."""
    return cast(grpc.aio.ServicerContext[Any, Any], CallContext(metadata, pem))
