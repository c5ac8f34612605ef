"""StatefulSets: what the api-server knows of them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.scheme import STATEFUL_SETS
from kubelab.apiserver.resources.apps.statefulsets.printer import row
from kubelab.apiserver.resources.apps.statefulsets.strategy import StatefulSetStrategy
from kubelab.apiserver.resources.scale import scale_of
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        STATEFUL_SETS,
        StatefulSetStrategy(STATEFUL_SETS),
        row,
        path="statefulsets",
        subresources={"status": STATUS, "scale": scale_of(STATEFUL_SETS, _selector)},
    )


def _selector(stateful_set: apps_pb2.StatefulSet) -> str:
    return labelselectors.text(stateful_set.spec.selector)
