"""Kubernetes' own signers, and the conditions of a request
(https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers)."""

from __future__ import annotations

from kubelab.api.certificates.v1 import certificates_pb2

KUBE_APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBE_APISERVER_CLIENT_KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"  # of the versions before v1, which takes no request for it
KUBERNETES_SIGNERS = (KUBE_APISERVER_CLIENT, KUBE_APISERVER_CLIENT_KUBELET, KUBELET_SERVING)
APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"


def has(csr: certificates_pb2.CertificateSigningRequest, condition: str) -> bool:
    """Say whether a request has a condition of this type."""
    return any(c.type == condition for c in csr.status.conditions)


def progress(csr: certificates_pb2.CertificateSigningRequest) -> str:
    """Say where a request stands, as kubectl's column CONDITION does: ``Pending``, ``Approved,Issued``."""
    words = [DENIED if has(csr, DENIED) else APPROVED if has(csr, APPROVED) else "Pending"]
    if has(csr, FAILED):
        words.append(FAILED)
    if csr.status.certificate:
        words.append("Issued")
    return ",".join(words)
