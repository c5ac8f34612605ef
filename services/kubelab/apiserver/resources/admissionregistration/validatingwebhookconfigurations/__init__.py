"""ValidatingWebhookConfigurations: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import VALIDATING_WEBHOOK_CONFIGURATIONS
from kubelab.apiserver.resources.admissionregistration.printer import row
from kubelab.apiserver.resources.admissionregistration.validatingwebhookconfigurations.strategy import (
    ValidatingWebhookConfigurationStrategy,
)
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        VALIDATING_WEBHOOK_CONFIGURATIONS,
        ValidatingWebhookConfigurationStrategy(VALIDATING_WEBHOOK_CONFIGURATIONS),
        row,
        path="validatingwebhookconfigurations",
    )
