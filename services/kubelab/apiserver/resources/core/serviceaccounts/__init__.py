"""ServiceAccounts: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import SERVICE_ACCOUNTS
from kubelab.apiserver.resources.core.serviceaccounts.printer import row
from kubelab.apiserver.resources.core.serviceaccounts.strategy import ServiceAccountStrategy
from kubelab.apiserver.resources.core.serviceaccounts.token import token
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    strategy, subresources = ServiceAccountStrategy(SERVICE_ACCOUNTS), {"token": token(settings.tokens)}
    return ResourceStorage(SERVICE_ACCOUNTS, strategy, row, subresources=subresources, returns_deleted=True)
