"""CertificateSigningRequests: what the api-server knows of them. The controller-manager signs them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS
from kubelab.apiserver.resources.certificates.certificatesigningrequests.printer import row
from kubelab.apiserver.resources.certificates.certificatesigningrequests.strategy import (
    CertificateSigningRequestStrategy,
)
from kubelab.apiserver.resources.certificates.certificatesigningrequests.subresources import APPROVAL, STATUS
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        CERTIFICATE_SIGNING_REQUESTS,
        CertificateSigningRequestStrategy(CERTIFICATE_SIGNING_REQUESTS),
        row,
        path="certificatesigningrequests",
        subresources={"status": STATUS, "approval": APPROVAL},
    )
