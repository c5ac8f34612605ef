"""NetworkPolicies: what the api-server knows of them. Nothing acts on them."""

from __future__ import annotations

from kubelab.api.networking.v1 import networking_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.scheme import NETWORK_POLICIES
from kubelab.apiserver.printers.cells import age
from kubelab.apiserver.resources.networking.networkpolicies.strategy import NetworkPolicyStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def row(policy: networking_pb2.NetworkPolicy, now: float) -> list[str]:
    """The cells of a row, as kubectl 1.32 prints them."""
    m = policy.metadata
    return [m.name, labelselectors.text(policy.spec.podSelector), age(m.creationTimestamp, now)]


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(NETWORK_POLICIES, NetworkPolicyStrategy(NETWORK_POLICIES), row, path="networkpolicies")
