"""Keep as many pods of each ReplicationController alive as it asks for, by the code that keeps ReplicaSets."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels
from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import Matches
from kubelab.controllermanager.indexes import BY_SELECTOR, selecting, selector_label
from kubelab.controllermanager.replicaset.controller import PodReplicator


class ReplicationManager(PodReplicator[core_pb2.ReplicationController]):
    """Own the pods of every ReplicationController."""

    name = "replicationcontroller"
    resource = REPLICATION_CONTROLLERS
    component = "replication-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._owners.add_indexers({BY_SELECTOR: selector_label})

    def matches(self, owner: core_pb2.ReplicationController) -> Matches:
        return partial(labels.select, owner.spec.selector)

    def selecting(self, pod: core_pb2.Pod) -> Iterable[core_pb2.ReplicationController]:
        return selecting(self._owners, pod)
