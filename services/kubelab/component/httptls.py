"""TLS and authorisation of a component's HTTP endpoints: a client certificate is requested, not required.

Health is open, as upstream's, for load balancers and people without certificates. Metrics reveal what a component
does, so they need a user who may ``get /metrics``: an administrator, or one of the group
system:monitoring.
"""

from __future__ import annotations

import contextlib
import ssl
from http import HTTPStatus

from cryptography import x509

from kubelab.apimachinery.errors import Unauthorized
from kubelab.auth import roles
from kubelab.auth.attributes import Attributes, refusal
from kubelab.auth.users import user_from_certificate
from kubelab.component.config import TLS
from kubelab.rpc.channels import TLSIdentity, TLSIdentityFiles


class ServerContext:
    """The context that a handshake is made with: a new one when the files have been renewed. OSError where they cannot
    be read at first."""

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._files = TLSIdentityFiles(tls.ca, tls.certificate, tls.key)
        self._identity = self._files.current()
        self._context = self._make(self._identity)

    def current(self) -> ssl.SSLContext:
        """Give the context; the one before while a renewal is half written."""
        identity = self._files.current()
        if identity is not self._identity:
            with contextlib.suppress(OSError):  # ssl.SSLError is one
                self._context = self._make(identity)
                self._identity = identity
        return self._context

    def _make(self, identity: TLSIdentity) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=identity.ca.decode())
        context.load_cert_chain(self._tls.certificate, self._tls.key)
        return context


def may_get(path: str, certificate: bytes | None) -> tuple[HTTPStatus, str]:
    """Judge a request by the client's certificate, DER as the handshake has verified it, or None: OK, or the status to
    refuse it with and why."""
    if not certificate:
        return HTTPStatus.UNAUTHORIZED, "Unauthorized"
    try:
        user = user_from_certificate(x509.load_der_x509_certificate(certificate))
    except Unauthorized as err:
        return HTTPStatus.UNAUTHORIZED, err.message
    attributes = Attributes(user, "get", path=path)
    return (HTTPStatus.OK, "") if roles.allows(attributes) else (HTTPStatus.FORBIDDEN, refusal(attributes).message)
