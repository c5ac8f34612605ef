"""Approve what kubelets ask for themselves: client certificates, where an access review says that the one who asks may
have them (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#approval)."""

from __future__ import annotations

from kubelab.api.authorization.v1 import authorization_pb2
from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery.certificates import requests, signers
from kubelab.apimachinery.core.conditions import TRUE
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.rpc import tracing

SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
ANY = "Auto approving kubelet client certificate after SubjectAccessReview."


class CSRApprovingController(Reconciler[str]):
    """Decide on requests of kubelets; all others wait for a person."""

    name = "csrapproving"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._requests = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)
        self._requests.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))

    def enqueue_all(self) -> None:
        """Look at every request."""
        for csr in self._requests.list():
            self._changed(csr)

    def _changed(self, csr: pb.CertificateSigningRequest) -> None:
        if undecided(csr):
            self._queue.add(key_of(csr))

    async def sync(self, key: str) -> None:
        """Approve one request, if it is a kubelet's and its sender may have it."""
        csr = self._requests.get(key)
        if csr is None or not undecided(csr):
            return
        with tracing.cause(csr.metadata.resourceVersion):
            for subresource, message in permissions(csr):
                if await self._allowed(csr, subresource):
                    approved = deep_copy(csr)
                    approved.status.conditions.add(
                        type=signers.APPROVED, status=TRUE, reason="AutoApproved", message=message
                    )
                    await self._client.update_approval(approved)
                    return
        self._log.debug("left for a person to decide on", request=key)

    async def _allowed(self, csr: pb.CertificateSigningRequest, subresource: str) -> bool:
        review = authorization_pb2.SubjectAccessReview()
        spec = review.spec
        spec.user, spec.uid = csr.spec.username, csr.spec.uid
        spec.groups.extend(csr.spec.groups)
        for name, values in csr.spec.extra.items():
            spec.extra[name].items.extend(values.items)
        asked = spec.resourceAttributes
        asked.group, asked.resource = CERTIFICATE_SIGNING_REQUESTS.group, CERTIFICATE_SIGNING_REQUESTS.plural
        asked.subresource, asked.verb = subresource, "create"
        return (await self._client.create(review)).status.allowed


def undecided(csr: pb.CertificateSigningRequest) -> bool:
    """Say whether a request is of the signer that this controller approves for, and still open."""
    return (
        csr.spec.signerName == signers.KUBE_APISERVER_CLIENT_KUBELET
        and not csr.status.certificate
        and not signers.has(csr, signers.APPROVED)
        and not signers.has(csr, signers.DENIED)
    )


def permissions(csr: pb.CertificateSigningRequest) -> list[tuple[str, str]]:
    """Give the rights either of which is enough for this request, with what its approval then says."""
    try:
        asked = requests.parse(csr.spec.request)
        requests.check_kubelet_client(asked, csr.spec.usages)
    except requests.RequestError:
        return []  # no request of a kubelet
    own = [("selfnodeclient", SELF)] if requests.common_name(asked) == csr.spec.username else []
    return [*own, ("nodeclient", ANY)]
