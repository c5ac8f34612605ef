"""The user of a connection: the subject of the client certificate that the TLS handshake has verified.

CN is the user's name, O are the groups
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates). The certificate of a
component also names its process, as a URI among its alternative names: ``kubelab:process:scheduler@cp-1``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.apimachinery import errors

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
ANONYMOUS = "system:anonymous"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
PROCESS_URI = "kubelab:process:"


class User(NamedTuple):
    """``process`` is the component's process that the certificate was made for, empty for a person's certificate.
    ``uid`` and ``extra`` are what a token says besides; ``extra`` is sorted by key."""

    name: str
    groups: frozenset[str]
    process: str = ""
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def node(self) -> str:
        """The node whose kubelet this user is; empty for all other users."""
        return self.name.removeprefix(NODE_PREFIX) if NODES in self.groups and self.name.startswith(NODE_PREFIX) else ""


def user_of(context: grpc.aio.ServicerContext[Any, Any]) -> User:
    """Give the caller of a request. Raises Unauthorized where there is no client certificate."""
    return authenticate(certificate_of(context))


def certificate_of(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Give the client certificate of a connection, in PEM; empty where the client showed none."""
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return pem
    return b""


def authenticate(certificate: bytes) -> User:
    """Give the user of a verified client certificate. Raises Unauthorized where there is none."""
    if not certificate:
        raise errors.Unauthorized("Unauthorized")
    return user_from_pem(certificate)


@functools.lru_cache(maxsize=4096)
def user_from_pem(pem: bytes) -> User:
    """Read a verified certificate. Raises Unauthorized where it has no name, or is not a client's."""
    return user_from_certificate(x509.load_pem_x509_certificate(pem))


def user_from_certificate(certificate: x509.Certificate) -> User:
    """Read a verified certificate. Raises Unauthorized where it has no name, or is not a client's.

    The TLS libraries refuse a certificate whose extended key usage has no clientAuth, but accept one without that
    extension. kubelab's authority always writes it, so its absence is refused as well.
    """
    names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not _is_client(certificate):
        raise errors.Unauthorized("Unauthorized")
    groups = {str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    return User(names[0], frozenset(groups | {AUTHENTICATED}), _process(certificate))


def _is_client(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _process(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next((uri.removeprefix(PROCESS_URI) for uri in uris if uri.startswith(PROCESS_URI)), "")
