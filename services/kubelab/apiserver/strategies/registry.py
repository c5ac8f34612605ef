"""Which rules belong to which resource. Bindings and scales are never stored: see ``binding`` and ``scale``."""

from __future__ import annotations

from typing import Any

from kubelab.apimachinery import scheme
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.configmap import ConfigMapStrategy
from kubelab.apiserver.strategies.endpoints import EndpointsStrategy
from kubelab.apiserver.strategies.event import EventStrategy
from kubelab.apiserver.strategies.lease import LeaseStrategy
from kubelab.apiserver.strategies.namespace import NamespaceStrategy
from kubelab.apiserver.strategies.node import NodeStrategy
from kubelab.apiserver.strategies.pod import PodStrategy
from kubelab.apiserver.strategies.replicationcontroller import ReplicationControllerStrategy
from kubelab.apiserver.strategies.secret import SecretStrategy
from kubelab.apiserver.strategies.service import ServiceStrategy

STRATEGIES: dict[str, Strategy[Any]] = {
    strategy.resource.plural: strategy
    for strategy in (
        PodStrategy(scheme.PODS),
        NodeStrategy(scheme.NODES),
        ServiceStrategy(scheme.SERVICES),
        EndpointsStrategy(scheme.ENDPOINTS),
        NamespaceStrategy(scheme.NAMESPACES),
        ReplicationControllerStrategy(scheme.REPLICATION_CONTROLLERS),
        EventStrategy(scheme.EVENTS),
        ConfigMapStrategy(scheme.CONFIG_MAPS),
        SecretStrategy(scheme.SECRETS),
        LeaseStrategy(scheme.LEASES),
    )
}
