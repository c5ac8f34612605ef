"""MutatingWebhookConfigurations: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import MUTATING_WEBHOOK_CONFIGURATIONS
from kubelab.apiserver.resources.admissionregistration.mutatingwebhookconfigurations.strategy import (
    MutatingWebhookConfigurationStrategy,
)
from kubelab.apiserver.resources.admissionregistration.printer import row
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        MUTATING_WEBHOOK_CONFIGURATIONS,
        MutatingWebhookConfigurationStrategy(MUTATING_WEBHOOK_CONFIGURATIONS),
        row,
        path="mutatingwebhookconfigurations",
    )
