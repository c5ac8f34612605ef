"""Which rules belong to which resource. Bindings and scales are never stored: see ``binding`` and ``scale``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubelab.apimachinery import scheme
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.configmap import ConfigMapStrategy
from kubelab.apiserver.strategies.endpoints import EndpointsStrategy
from kubelab.apiserver.strategies.event import EventStrategy
from kubelab.apiserver.strategies.lease import LeaseStrategy
from kubelab.apiserver.strategies.namespace import NamespaceStrategy
from kubelab.apiserver.strategies.node import NodeStrategy
from kubelab.apiserver.strategies.pod import TOLERATION_SECONDS, PodStrategy
from kubelab.apiserver.strategies.replicationcontroller import ReplicationControllerStrategy
from kubelab.apiserver.strategies.secret import SecretStrategy
from kubelab.apiserver.strategies.service import ServiceStrategy


def strategies(tolerations: Mapping[str, int] = TOLERATION_SECONDS) -> dict[str, Strategy[Any]]:
    """Give the rules by plural name; ``tolerations`` are the seconds that a pod stays on a node with such a taint."""
    every: tuple[Strategy[Any], ...] = (
        PodStrategy(scheme.PODS, tolerations),
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
    return {strategy.resource.plural: strategy for strategy in every}
