"""ReplicaSets: what the api-server knows of them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.scheme import REPLICA_SETS
from kubelab.apiserver.resources.apps.replicasets.printer import row
from kubelab.apiserver.resources.apps.replicasets.strategy import ReplicaSetStrategy
from kubelab.apiserver.resources.scale import scale_of
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        REPLICA_SETS,
        ReplicaSetStrategy(REPLICA_SETS),
        row,
        path="replicasets",
        subresources={"status": STATUS, "scale": scale_of(REPLICA_SETS, _selector)},
    )


def _selector(replica_set: apps_pb2.ReplicaSet) -> str:
    return labelselectors.text(replica_set.spec.selector)
