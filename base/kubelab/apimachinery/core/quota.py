"""What an object takes of a namespace's quotas, and which quotas it counts for. Pure.

https://kubernetes.io/docs/concepts/policy/resource-quotas/; the rules of upstream's evaluators
(``pkg/quota/v1/evaluator/core``). The api-server charges new objects by them, the controller-manager counts all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2, limits_pb2
from kubelab.apimachinery import quantity
from kubelab.apimachinery.core.podresources import total_resources
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.core.qos import BEST_EFFORT as BEST_EFFORT_CLASS
from kubelab.apimachinery.core.qos import pod_qos
from kubelab.apimachinery.scheme import (
    CONFIG_MAPS,
    EVENTS,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    Resource,
)

Usage = dict[str, str]
"""Amounts by the names that quotas have for them."""

TERMINATING, NOT_TERMINATING = "Terminating", "NotTerminating"
BEST_EFFORT, NOT_BEST_EFFORT = "BestEffort", "NotBestEffort"
PRIORITY_CLASS, CROSS_NAMESPACE = "PriorityClass", "CrossNamespacePodAffinity"
SCOPES = (TERMINATING, NOT_TERMINATING, BEST_EFFORT, NOT_BEST_EFFORT, PRIORITY_CLASS, CROSS_NAMESPACE)

MUST_SPECIFY = frozenset(f"{side}{name}" for side in ("", "requests.", "limits.") for name in ("cpu", "memory"))
"""A pod that counts for one of these must say it for every container."""
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES = frozenset(
    {"pods", "count/pods", *(f"{side}{name}" for side in ("", "requests.", "limits.") for name in _COMPUTE)}
)
_SCOPED_NAMES = frozenset({"pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")
_COUNTED: Mapping[Resource[Message], str] = {
    CONFIG_MAPS: "configmaps",
    REPLICATION_CONTROLLERS: "replicationcontrollers",
    RESOURCE_QUOTAS: "resourcequotas",
    SECRETS: "secrets",
    SERVICES: "services",
}
"""What quotas knew before ``count/…`` was there."""
_SERVICE_NAMES = frozenset({"count/services", "services", "services.loadbalancers", "services.nodeports"})


def is_tracked(resource: Resource[Message]) -> bool:
    """Whether quotas can bound the objects of a resource."""
    return resource.namespaced and resource is not EVENTS and "create" in resource.verbs and "list" in resource.verbs


def tracks(resource: Resource[Message], name: str) -> bool:
    """Whether a name in a quota is about objects of this resource."""
    if resource is PODS:
        return name in _POD_NAMES or name.startswith(_HUGE_PAGES) or _is_extended(name)
    if resource is SERVICES:
        return name in _SERVICE_NAMES
    return name in (f"count/{resource.qualified}", _COUNTED.get(resource))


def scope_is_for(scope: str, name: str) -> bool:
    """Whether a quota with this scope can bound what has this name."""
    if scope == BEST_EFFORT:
        return name == "pods"
    return name in _SCOPED_NAMES if scope in SCOPES else True


def usage(resource: Resource[Message], obj: Message) -> Usage:
    """What one object takes."""
    if resource is PODS:
        return _pod_usage(cast(core_pb2.Pod, obj))
    taken = {f"count/{resource.qualified}": "1"}
    if resource is SERVICES:
        return taken | _service_usage(cast(core_pb2.Service, obj).spec)
    return taken | ({_COUNTED[resource]: "1"} if resource in _COUNTED else {})


def matches(quota: limits_pb2.ResourceQuota, resource: Resource[Message], obj: Message) -> bool:
    """Whether an object has every scope of a quota. Only pods have scopes."""
    terms = [(scope, "Exists", ()) for scope in quota.spec.scopes]
    terms += [(t.scopeName, t.operator, tuple(t.values)) for t in quota.spec.scopeSelector.matchExpressions]
    if not terms:
        return True
    return resource is PODS and all(_in_scope(cast(core_pb2.Pod, obj), *term) for term in terms)


def missing(pod: core_pb2.Pod, names: Iterable[str]) -> Mapping[str, list[str]]:
    """Which containers do not say what a quota with these names requires of every one: containers by name."""
    required = sorted(MUST_SPECIFY & {*names})
    found: dict[str, list[str]] = {}
    for container in [*pod.spec.containers, *pod.spec.initContainers]:
        resources = container.resources
        said = _compute(
            {name: amount.string for name, amount in resources.requests.items()},
            {name: amount.string for name, amount in resources.limits.items()},
        )
        for name in required:
            if name not in said:
                found.setdefault(name, []).append(container.name)
    return {name: sorted(set(containers)) for name, containers in found.items()}


def add(one: Mapping[str, str], other: Mapping[str, str]) -> Usage:
    """The sums of two usages."""
    return {name: quantity.total(one.get(name, "0"), other.get(name, "0")) for name in {**one, **other}}


def exceeded(usage: Mapping[str, str], hard: Mapping[str, str]) -> list[str]:
    """The names of which more is used than a quota allows."""
    return sorted(name for name in usage if name in hard and quantity.amount(usage[name]) > quantity.amount(hard[name]))


def amounts(field: Mapping[str, Any]) -> Usage:
    """Read a map of quantities."""
    return {name: amount.string for name, amount in field.items()}


def _pod_usage(pod: core_pb2.Pod) -> Usage:
    """Every pod is counted; one that has ended takes nothing more."""
    taken = {"count/pods": "1"}
    if is_terminal(pod):
        return taken
    requests, limits = total_resources(pod.spec)
    return taken | {"pods": "1"} | _compute(requests, limits)


def _compute(requests: Mapping[str, str], limits: Mapping[str, str]) -> Usage:
    taken: Usage = {}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            taken[name] = taken[f"requests.{name}"] = amount
        elif "/" in name and "kubernetes.io/" not in name:
            taken[f"requests.{name}"] = amount
    return taken | {f"limits.{name}": amount for name, amount in limits.items() if name in _COMPUTE}


def _service_usage(spec: core_pb2.ServiceSpec) -> Usage:
    node_ports = balancers = 0
    if spec.type == "NodePort":
        node_ports = len(spec.ports)
    elif spec.type == "LoadBalancer":
        balancers = 1
        if spec.HasField("allocateLoadBalancerNodePorts") and not spec.allocateLoadBalancerNodePorts:
            node_ports = sum(bool(port.nodePort) for port in spec.ports)
        else:
            node_ports = len(spec.ports)
    return {"services": "1", "services.nodeports": str(node_ports), "services.loadbalancers": str(balancers)}


def _in_scope(pod: core_pb2.Pod, scope: str, operator: str, values: tuple[str, ...]) -> bool:
    if scope in (TERMINATING, NOT_TERMINATING):
        terminating = pod.spec.HasField("activeDeadlineSeconds") and pod.spec.activeDeadlineSeconds >= 0
        return terminating == (scope == TERMINATING)
    if scope in (BEST_EFFORT, NOT_BEST_EFFORT):
        return (pod_qos(pod) == BEST_EFFORT_CLASS) == (scope == BEST_EFFORT)
    if scope == PRIORITY_CLASS:
        return _selects(pod.spec.priorityClassName, operator, values)
    return scope == CROSS_NAMESPACE and _looks_across(pod.spec.affinity)


def _selects(name: str, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "In":
            return bool(name) and name in values
        case "NotIn":
            return name not in values
        case "Exists":
            return bool(name)
        case _:
            return not name


def _looks_across(affinity: core_pb2.Affinity) -> bool:
    terms: list[Any] = []
    for part in (affinity.podAffinity, affinity.podAntiAffinity):
        terms += part.requiredDuringSchedulingIgnoredDuringExecution
        terms += [weighted.podAffinityTerm for weighted in part.preferredDuringSchedulingIgnoredDuringExecution]
    return any(term.namespaces or term.HasField("namespaceSelector") for term in terms)


def _is_extended(name: str) -> bool:
    return name.startswith("requests.") and "/" in name and "kubernetes.io/" not in name
