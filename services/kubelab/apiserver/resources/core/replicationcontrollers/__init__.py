"""ReplicationControllers: what the api-server knows of them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS
from kubelab.apiserver.resources.core.replicationcontrollers.printer import row
from kubelab.apiserver.resources.core.replicationcontrollers.strategy import ReplicationControllerStrategy
from kubelab.apiserver.resources.scale import scale_of
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        REPLICATION_CONTROLLERS,
        ReplicationControllerStrategy(REPLICATION_CONTROLLERS),
        row,
        path="controllers",
        subresources={"status": STATUS, "scale": scale_of(REPLICATION_CONTROLLERS, _selector)},
    )


def _selector(rc: core_pb2.ReplicationController) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(rc.spec.selector.items()))
