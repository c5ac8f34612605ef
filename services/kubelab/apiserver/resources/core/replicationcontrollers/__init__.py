"""ReplicationControllers: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS
from kubelab.apiserver.resources.core.replicationcontrollers.printer import row
from kubelab.apiserver.resources.core.replicationcontrollers.strategy import ReplicationControllerStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        REPLICATION_CONTROLLERS,
        ReplicationControllerStrategy(REPLICATION_CONTROLLERS),
        row,
        path="controllers",
    )
