"""ValidatingAdmissionPolicyBindings: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import VALIDATING_ADMISSION_POLICY_BINDINGS
from kubelab.apiserver.resources.admissionregistration.validatingadmissionpolicybindings.printer import row
from kubelab.apiserver.resources.admissionregistration.validatingadmissionpolicybindings.strategy import (
    ValidatingAdmissionPolicyBindingStrategy,
)
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        VALIDATING_ADMISSION_POLICY_BINDINGS,
        ValidatingAdmissionPolicyBindingStrategy(VALIDATING_ADMISSION_POLICY_BINDINGS),
        row,
        path="validatingadmissionpolicybindings",
    )
