"""The cells of a row of certificate signing requests, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.certificates.v1 import certificates_pb2
from kubelab.apimachinery.certificates.signers import progress
from kubelab.apimachinery.timestamps import human_duration
from kubelab.apiserver.printers.cells import NONE, age


def row(csr: certificates_pb2.CertificateSigningRequest, now: float) -> list[str]:
    m, spec = csr.metadata, csr.spec
    asked = human_duration(spec.expirationSeconds) if spec.HasField("expirationSeconds") else NONE
    return [m.name, age(m.creationTimestamp, now), spec.signerName or NONE, spec.username, asked, progress(csr)]
