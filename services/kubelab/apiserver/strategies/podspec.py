"""A pod's spec, in a pod or in a template: defaults and rules
(https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/, upstream: ValidatePodSpec)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.taints import NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE
from kubelab.apiserver.strategies import (
    addresses,
    causes,
    containers,
    metadata,
    placement,
    podprobes,
    podvolumes,
    security,
)

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("Never", "PreemptLowerPriority")
EFFECTS = (NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE)
MAX_INT32 = 2**31 - 1
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_NOT_OF_INIT_CONTAINERS: Mapping[Literal["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"], str] = {
    "lifecycle": "Lifecycle",
    "livenessProbe": "Probe",
    "readinessProbe": "Probe",
    "startupProbe": "Probe",
}
_COST = re.compile(r"0|-[0-9]+|[1-9][0-9]*", re.ASCII)


def default(spec: core_pb2.PodSpec) -> None:
    """Fill in what is not said, in a pod as in a template."""
    if not spec.dnsPolicy:
        spec.dnsPolicy = "ClusterFirst"
    if not spec.restartPolicy:
        spec.restartPolicy = "Always"
    spec.securityContext.SetInParent()
    if not spec.HasField("terminationGracePeriodSeconds"):
        spec.terminationGracePeriodSeconds = 30
    elif spec.terminationGracePeriodSeconds < 0:
        spec.terminationGracePeriodSeconds = 1  # upstream stores it as it is, and its readers take it as one second
    if not spec.schedulerName:
        spec.schedulerName = "default-scheduler"
    spec.serviceAccountName = spec.serviceAccountName or spec.serviceAccount
    spec.serviceAccount = spec.serviceAccountName
    podvolumes.default(spec)
    for container in (*spec.initContainers, *spec.containers):
        containers.default(container)
        podprobes.default(container)


def validate(spec: core_pb2.PodSpec, field: str, *, is_pod: bool) -> list[Cause]:
    """All complaints about a spec that has its defaults; ``is_pod`` says that it is not a template's."""
    complaints: list[Cause] = []
    if not spec.HasField("terminationGracePeriodSeconds"):
        complaints.append(causes.required(f"{field}.terminationGracePeriodSeconds"))
    complaints += podvolumes.validate(spec, f"{field}.volumes")
    complaints += _containers(spec, f"{field}.containers")
    if spec.initContainers:
        complaints += _init_containers(spec, f"{field}.initContainers")
    complaints += placement.validate(spec, field)
    if spec.hostNetwork:
        complaints += _host_network(spec, f"{field}.containers", is_pod=is_pod)
    if spec.restartPolicy not in RESTART_POLICIES:
        complaints += causes.one_of(f"{field}.restartPolicy", spec.restartPolicy, RESTART_POLICIES)
    if spec.dnsPolicy not in DNS_POLICIES:
        complaints += causes.one_of(f"{field}.dnsPolicy", spec.dnsPolicy, DNS_POLICIES)
    if spec.nodeSelector:
        complaints += metadata.labels(f"{field}.nodeSelector", spec.nodeSelector)
    if spec.HasField("securityContext"):
        complaints += security.pod(spec, f"{field}.securityContext")
    complaints += _dns_config(spec, f"{field}.dnsConfig")
    complaints += security.host_users(spec, field)
    for name, value in (("serviceAccountName", spec.serviceAccountName), ("nodeName", spec.nodeName)):
        if value and (problems := names.dns_subdomain(value)):
            complaints += causes.each(f"{field}.{name}", value, problems)
    if spec.HasField("activeDeadlineSeconds") and not 1 <= spec.activeDeadlineSeconds <= MAX_INT32:
        message = names.out_of_range(1, MAX_INT32)
        complaints.append(causes.invalid(f"{field}.activeDeadlineSeconds", spec.activeDeadlineSeconds, message))
    for name, value in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if value and (problems := names.dns_label(value)):
            complaints += causes.each(f"{field}.{name}", value, problems)
    if spec.tolerations:
        complaints += tolerations(spec, f"{field}.tolerations")
    complaints += _host_aliases(spec, f"{field}.hostAliases")
    if spec.priorityClassName and (problems := names.dns_subdomain(spec.priorityClassName)):
        complaints += causes.each(f"{field}.priorityClassName", spec.priorityClassName, problems)
    if spec.preemptionPolicy and spec.preemptionPolicy not in PREEMPTION_POLICIES:
        complaints.append(causes.unsupported(f"{field}.preemptionPolicy", spec.preemptionPolicy, PREEMPTION_POLICIES))
    return complaints


def _dns_config(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    own = spec.dnsConfig
    if spec.dnsPolicy == "None":
        if not spec.HasField("dnsConfig"):
            return [causes.required(field, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not own.nameservers:
            message = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [causes.required(f"{field}.nameservers", message)]
    complaints: list[Cause] = []
    if len(own.nameservers) > MAX_NAMESERVERS:
        message = f"must not have more than {MAX_NAMESERVERS} nameservers"
        complaints.append(causes.invalid(f"{field}.nameservers", list(own.nameservers), message))
    for i, address in enumerate(own.nameservers):
        complaints += addresses.valid(f"{field}.nameservers[{i}]", address)
    if len(own.searches) > MAX_SEARCHES:
        message = f"must not have more than {MAX_SEARCHES} search paths"
        complaints.append(causes.invalid(f"{field}.searches", list(own.searches), message))
    if len(" ".join(own.searches)) > MAX_SEARCH_CHARACTERS:
        message = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        complaints.append(causes.invalid(f"{field}.searches", list(own.searches), message))
    for i, search in enumerate(own.searches):
        name = search.removesuffix(".")
        complaints += causes.each(f"{field}.searches[{i}]", name, names.dns_subdomain(name))
    for i, option in enumerate(own.options):
        if not option.name:
            complaints.append(causes.required(f"{field}.options[{i}]", "must not be empty"))
        elif any(not sign.isprintable() or sign.isspace() for sign in option.name + option.value):
            # upstream takes it, and a line of the pod's resolv.conf would be torn by it
            complaints.append(causes.invalid(f"{field}.options[{i}]", option.name, "must not contain whitespace"))
    return complaints


def _host_aliases(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for i, alias in enumerate(spec.hostAliases):
        complaints += addresses.valid(f"{field}[{i}].ip", alias.ip)
        for j, name in enumerate(alias.hostnames):
            complaints += causes.each(f"{field}[{i}].hostnames[{j}]", name, names.dns_subdomain(name))
    return complaints


def _containers(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    if not spec.containers:
        return [causes.required(field)]
    complaints: list[Cause] = []
    seen: set[str] = set()
    host_ports = False
    for i, container in enumerate(spec.containers):
        here = f"{field}[{i}]"
        complaints += containers.validate(container, here, host_users=not spec.HasField("hostUsers") or spec.hostUsers)
        if container.volumeMounts:
            complaints += podvolumes.validate_mounts(container, f"{here}.volumeMounts", _volumes(spec))
        complaints += podprobes.validate(container, here)
        if container.name in seen:
            complaints.append(causes.duplicate(f"{here}.name", container.name))
        seen.add(container.name)
        host_ports = host_ports or any(port.hostPort for port in container.ports)
    return [*complaints, *_host_ports(spec, field)] if host_ports else complaints


def _volumes(spec: core_pb2.PodSpec) -> set[str]:
    return {volume.name for volume in spec.volumes}


def _init_containers(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """Of init containers, only those that are restarted ("sidecars") have hooks and probes."""
    complaints: list[Cause] = []
    seen = {container.name for container in spec.containers}
    for i, container in enumerate(spec.initContainers):
        here = f"{field}[{i}]"
        complaints += containers.validate(container, here, host_users=not spec.HasField("hostUsers") or spec.hostUsers)
        complaints += podvolumes.validate_mounts(container, f"{here}.volumeMounts", _volumes(spec))
        if container.restartPolicy == "Always":
            complaints += podprobes.validate(container, here)
        else:
            for name, kind in _NOT_OF_INIT_CONTAINERS.items():
                if container.HasField(name):
                    message = "must not be set for init containers"
                    complaints.append(causes.invalid(f"{here}.{name}", causes.Raw(f"core.{kind}{{…}}"), message))
        if container.name in seen:
            complaints.append(causes.duplicate(f"{here}.name", container.name))
        seen.add(container.name)
    return complaints


def _host_ports(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, container in enumerate(spec.containers):
        for j, port in enumerate(container.ports):
            if not port.hostPort:
                continue
            message = f"{port.protocol}/{port.hostIP}/{port.hostPort}"
            if message in seen:
                complaints.append(causes.duplicate(f"{field}[{i}].ports[{j}].hostPort", message))
            seen.add(message)
    return complaints


def _host_network(spec: core_pb2.PodSpec, field: str, *, is_pod: bool) -> list[Cause]:
    """On the node's own network a port is the node's. A template may leave the host port open: its pods fill it in."""
    message = "must match `containerPort` when `hostNetwork` is true"
    complaints: list[Cause] = []
    for i, container in enumerate(spec.containers):
        for j, port in enumerate(container.ports):
            here = f"{field}[{i}].ports[{j}]"
            if (is_pod or port.hostPort) and port.hostPort != port.containerPort:
                complaints.append(causes.invalid(f"{here}.hostPort", port.hostPort, message))
            elif not port.hostPort:
                complaints += containers.reserved_port(f"{here}.containerPort", port.containerPort, port.protocol)
    return complaints


def tolerations(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """All complaints about tolerations."""
    complaints: list[Cause] = []
    for i, toleration in enumerate(spec.tolerations):
        complaints += _toleration(toleration, f"{field}[{i}]")
    return complaints


def _toleration(toleration: core_pb2.Toleration, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    key, operator, value, effect = toleration.key, toleration.operator, toleration.value, toleration.effect
    if key:
        if problems := names.qualified_name(key):
            complaints += causes.each(f"{field}.key", key, problems)
    elif operator != "Exists":
        message = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        complaints.append(causes.invalid(f"{field}.operator", operator, message))
    if effect != NO_EXECUTE and toleration.HasField("tolerationSeconds"):
        message = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        complaints.append(causes.invalid(f"{field}.effect", effect, message))
    if operator in ("", "Equal"):
        if problems := names.label_value(value):
            complaints.append(causes.invalid(f"{field}.operator", value, ";".join(problems)))
    elif operator == "Exists":
        if value:
            message = "value must be empty when `operator` is 'Exists'"
            complaints.append(causes.invalid(f"{field}.operator", _as_go(toleration), message))
    else:
        complaints.append(causes.unsupported(f"{field}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in EFFECTS:
        complaints.append(causes.unsupported(f"{field}.effect", effect, EFFECTS))
    return complaints


def _as_go(toleration: core_pb2.Toleration) -> causes.Raw:
    """A toleration as upstream prints it, but for the pointer's address, which says nothing."""
    key, operator, value, effect = (
        causes.quoted(word) for word in (toleration.key, toleration.operator, toleration.value, toleration.effect)
    )
    seconds = toleration.tolerationSeconds if toleration.HasField("tolerationSeconds") else "nil"
    return causes.Raw(
        f"core.Toleration{{Key:{key}, Operator:{operator}, Value:{value}, Effect:{effect}, "
        f"TolerationSeconds:(*int64)({seconds})}}"
    )


def special_annotations(field: str, values: Mapping[str, str]) -> list[Cause]:
    """Complaints about annotations that mean something for pods."""
    cost = values.get(DELETION_COST)
    if cost is None or (_COST.fullmatch(cost) and -(2**31) <= int(cost) <= MAX_INT32):
        return []
    return [causes.invalid(f"{field}[{DELETION_COST}]", cost, "must be a 32bit integer")]
