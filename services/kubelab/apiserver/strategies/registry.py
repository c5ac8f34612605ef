"""Which rules belong to which resource."""

from __future__ import annotations

from typing import Any

from kubelab.apimachinery import scheme
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.others import (
    ConfigMapStrategy,
    EndpointsStrategy,
    EventStrategy,
    LeaseStrategy,
    NamespaceStrategy,
    NodeStrategy,
    SecretStrategy,
)
from kubelab.apiserver.strategies.pod import PodStrategy
from kubelab.apiserver.strategies.replicationcontroller import ReplicationControllerStrategy
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
