"""Leases: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import LEASES
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.storage import fenced
from kubelab.apiserver.strategies.lease import LeaseStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(LEASES, LeaseStrategy(LEASES), rows.lease_row, path="leases", companions=fenced.along)
