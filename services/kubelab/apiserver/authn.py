"""Who asks: the subject of the client certificate that the TLS handshake has verified. CN is the user, O the groups
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates)."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.x509.oid import NameOID

from kubelab.apimachinery import errors

AUTHENTICATED = "system:authenticated"


class User(NamedTuple):
    name: str
    groups: frozenset[str]

    @property
    def node(self) -> str:
        """The node whose kubelet this is, or nothing."""
        if "system:nodes" in self.groups and self.name.startswith("system:node:"):
            return self.name.removeprefix("system:node:")
        return ""


def user_of(context: grpc.aio.ServicerContext[Any, Any]) -> User:
    """The caller of a request; Unauthorized without a client certificate."""
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return user_from_pem(pem)
    raise errors.Unauthorized("Unauthorized")


@functools.lru_cache(maxsize=4096)
def user_from_pem(pem: bytes) -> User:
    """Read a certificate's subject."""
    subject = x509.load_pem_x509_certificate(pem).subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names:
        raise errors.Unauthorized("Unauthorized")
    groups = {str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    return User(names[0], frozenset(groups | {AUTHENTICATED}))
