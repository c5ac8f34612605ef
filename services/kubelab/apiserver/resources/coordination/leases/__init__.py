"""Leases: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import LEASES
from kubelab.apiserver.resources.coordination.leases.printer import row
from kubelab.apiserver.resources.coordination.leases.strategy import LeaseStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.storage import fenced


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(LEASES, LeaseStrategy(LEASES), row, path="leases", companions=fenced.along)
