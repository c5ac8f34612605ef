"""Delete requests that are done with: an hour after they were decided on, a day after they came in if nobody has
(upstream: ``pkg/controller/certificates/cleaner``)."""

from __future__ import annotations

from cryptography import x509

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery.certificates import signers
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS
from kubelab.apimachinery.timestamps import from_time
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.rpc import tracing

DECIDED, PENDING = 3600.0, 24 * 3600.0  # seconds


class CSRCleanerController(Reconciler[str]):
    """Delete requests when their time is over."""

    name = "csrcleaner"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._requests = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)
        self._requests.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))

    def enqueue_all(self) -> None:
        """Look at every request."""
        for csr in self._requests.list():
            self._changed(csr)

    def _changed(self, csr: pb.CertificateSigningRequest) -> None:
        self._queue.add(key_of(csr))

    async def sync(self, key: str) -> None:
        """Delete one request, or wait until its time is over."""
        csr = self._requests.get(key)
        if csr is None or is_terminating(csr) or (end := ends(csr)) is None:
            return
        left = end - self._clock.time()
        if left > 0:
            self._queue.add_after(key, left)
            return
        m = csr.metadata
        with tracing.cause(m.resourceVersion):
            try:
                await self._client.delete(CERTIFICATE_SIGNING_REQUESTS, m.name, uid=m.uid)
            except (NotFound, Conflict):
                return  # gone, or the name is another request's


def ends(csr: pb.CertificateSigningRequest) -> float | None:
    """Give the wall time in seconds at which a request is to be deleted, None for never."""
    if not csr.status.conditions:
        return from_time(csr.metadata.creationTimestamp) + PENDING
    decisions = (signers.APPROVED, signers.DENIED, signers.FAILED)
    times = [
        from_time(condition.lastUpdateTime) + DECIDED
        for condition in csr.status.conditions
        if condition.type in decisions and condition.lastUpdateTime.seconds
    ]
    if csr.status.certificate and signers.has(csr, signers.APPROVED):
        times.append(_expires(csr.status.certificate))
    return min(times, default=None)


def _expires(pem: bytes) -> float:
    """When a certificate ends. The api-server takes no other than readable ones."""
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
