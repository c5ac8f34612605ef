"""ReplicationControllers: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.replicationcontroller import ReplicationControllerStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        REPLICATION_CONTROLLERS,
        ReplicationControllerStrategy(REPLICATION_CONTROLLERS),
        rows.controller_row,
        path="controllers",
    )
