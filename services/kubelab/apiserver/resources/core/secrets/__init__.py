"""Secrets: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import SECRETS
from kubelab.apiserver.resources.core.secrets.printer import row
from kubelab.apiserver.resources.core.secrets.strategy import SecretStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(SECRETS, SecretStrategy(SECRETS), row)
