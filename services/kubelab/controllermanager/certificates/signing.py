"""Sign approved requests of Kubernetes' own signers
(https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#signer-control-plane).

The authority is one that api-servers alone take for logins (docs/security.md).
"""

from __future__ import annotations

import asyncio
import datetime

from cryptography import x509

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery.certificates import requests, signers
from kubelab.apimachinery.certificates.requests import RequestError
from kubelab.apimachinery.core.conditions import TRUE
from kubelab.apimachinery.errors import InternalError
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS
from kubelab.auth.users import PROCESS_URI
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.certificates.authority import Authority, AuthorityError
from kubelab.controllermanager.context import ControllerContext
from kubelab.rpc import tracing

LEAST = datetime.timedelta(minutes=10)


class CSRSigningController(Reconciler[str]):
    """Write the certificate of each request that is approved, or why there is none."""

    name = "csrsigning"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        config = context.config
        self._client, self._clock = context.client, context.clock
        self._longest = datetime.timedelta(seconds=config.cluster_signing_duration)
        self._authority: Authority | None = None
        if config.cluster_signing_cert_file is not None and config.cluster_signing_key_file is not None:
            self._authority = Authority(config.cluster_signing_cert_file, config.cluster_signing_key_file)
        self._requests = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)
        self._requests.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))

    def enqueue_all(self) -> None:
        """Look at every request."""
        if self._authority is None:
            self._log.info("nothing is signed: clusterSigningCertFile and clusterSigningKeyFile are not set")
        for csr in self._requests.list():
            self._changed(csr)

    def _changed(self, csr: pb.CertificateSigningRequest) -> None:
        if self._authority is not None and waits(csr):
            self._queue.add(key_of(csr))

    async def sync(self, key: str) -> None:
        """Sign one request, or mark it as failed."""
        csr = self._requests.get(key)
        if csr is None or self._authority is None or not waits(csr):
            return
        changed = deep_copy(csr)
        now = datetime.datetime.fromtimestamp(self._clock.time(), datetime.UTC)
        try:
            check(csr)
            lasts = duration(csr, self._longest)
            sign = self._authority.sign
            pem = await asyncio.to_thread(sign, csr.spec.request, [*csr.spec.usages], lasts, now)
            changed.status.certificate = pem
        except RequestError as err:
            failed = changed.status.conditions.add(type=signers.FAILED, status=TRUE, reason="SignerValidationFailure")
            failed.message = str(err)
            failed.lastUpdateTime.seconds = int(self._clock.time())
        except AuthorityError as err:
            raise InternalError(f"Internal error occurred: error auto signing csr: {err}") from err
        with tracing.cause(csr.metadata.resourceVersion):
            await self._client.update_status(changed)


def waits(csr: pb.CertificateSigningRequest) -> bool:
    """Say whether a request is one to sign: of one of these signers, approved, and not done with."""
    return (
        csr.spec.signerName in signers.KUBERNETES_SIGNERS
        and not csr.status.certificate
        and signers.has(csr, signers.APPROVED)
        and not signers.has(csr, signers.DENIED)
        and not signers.has(csr, signers.FAILED)
    )


def check(csr: pb.CertificateSigningRequest) -> None:
    """RequestError where a request is not what its signer takes."""
    asked = requests.parse(csr.spec.request)
    match csr.spec.signerName:
        case signers.KUBE_APISERVER_CLIENT_KUBELET:
            requests.check_kubelet_client(asked, csr.spec.usages)
        case signers.KUBELET_SERVING:
            requests.check_kubelet_serving(asked, csr.spec.usages)
        case _:
            requests.check_client(csr.spec.usages)
            _check_no_process(asked)


def _check_no_process(asked: x509.CertificateSigningRequest) -> None:
    """RequestError where a request names a process of the cluster: only the cluster's own authority does."""
    if any(uri.startswith(PROCESS_URI) for uri in requests.uris(requests.alternative_names(asked))):
        raise RequestError(f"URI subjectAltNames that begin with {PROCESS_URI} are not allowed")


def duration(csr: pb.CertificateSigningRequest, longest: datetime.timedelta) -> datetime.timedelta:
    """Give how long a certificate lasts: as asked, but at least ten minutes and at most ``longest``."""
    if not csr.spec.HasField("expirationSeconds"):
        return longest
    return min(max(datetime.timedelta(seconds=csr.spec.expirationSeconds), LEAST), longest)
