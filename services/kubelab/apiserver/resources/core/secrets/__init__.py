"""Secrets: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import SECRETS
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.secret import SecretStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(SECRETS, SecretStrategy(SECRETS), rows.secret_row)
