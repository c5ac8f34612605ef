"""ValidatingAdmissionPolicies: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import VALIDATING_ADMISSION_POLICIES
from kubelab.apiserver.resources.admissionregistration.validatingadmissionpolicies.printer import row
from kubelab.apiserver.resources.admissionregistration.validatingadmissionpolicies.strategy import (
    ValidatingAdmissionPolicyStrategy,
)
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        VALIDATING_ADMISSION_POLICIES,
        ValidatingAdmissionPolicyStrategy(VALIDATING_ADMISSION_POLICIES),
        row,
        path="validatingadmissionpolicies",
        subresources={"status": STATUS},
    )
