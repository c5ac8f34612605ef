"""ServiceAccounts: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import SERVICE_ACCOUNTS
from kubelab.apiserver.resources.core.serviceaccounts.printer import row
from kubelab.apiserver.resources.core.serviceaccounts.strategy import ServiceAccountStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(SERVICE_ACCOUNTS, ServiceAccountStrategy(SERVICE_ACCOUNTS), row)
