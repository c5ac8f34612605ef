"""What is said about a pod's spec that is allowed, and yet hardly meant (upstream: ``pkg/api/pod/warnings.go``).

Everything here reads an object as it was sent, before its defaults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.resource.quantity_pb2 import Quantity
from kubelab.apimachinery import quantity
from kubelab.apiserver.strategies import causes

NODE_LABELS: Mapping[str, str] = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
ANNOTATIONS: Mapping[str, str] = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_IN_BYTES = ("memory", "ephemeral-storage")
MAX_WARNINGS = 100  # about one spec; an answer carries fewer
_COMPARED = 16  # others of the same number that a port is compared with


def of_spec(spec: core_pb2.PodSpec, meta: meta_pb2.ObjectMeta, at: str = "", *, is_pod: bool = True) -> list[str]:
    """Give the first warnings about a pod, or about a template; ``at`` is such as ``spec.template.``."""
    return list(itertools.islice(_of_spec(spec, meta, at, is_pod), MAX_WARNINGS))


def _of_spec(spec: core_pb2.PodSpec, meta: meta_pb2.ObjectMeta, at: str, is_pod: bool) -> Iterator[str]:
    for key in sorted(NODE_LABELS) if spec.nodeSelector else ():
        if key in spec.nodeSelector:
            yield f"{at}spec.nodeSelector[{key}]: {NODE_LABELS[key]}"
    if meta.annotations:
        yield from _annotations(spec, meta.annotations, f"{at}metadata.annotations")
    yield from _aliases(spec, f"{at}spec.hostAliases")
    for i, container in enumerate(spec.containers):
        here = f"{at}spec.containers[{i}]"
        if container.HasField("resources"):
            yield from _fractions(container.resources, f"{here}.resources", requests_follow=is_pod)
        yield from _variables(container, f"{here}.env")
    yield from _ports(spec, f"{at}spec.containers")
    if spec.terminationGracePeriodSeconds < 0:
        message = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {message}"


def _annotations(spec: core_pb2.PodSpec, annotations: Mapping[str, str], field: str) -> Iterator[str]:
    for key, message in ANNOTATIONS.items():
        if key in annotations:
            yield f"{field}[{key}]: {message}"
    if _SECCOMP_POD in annotations and not spec.securityContext.HasField("seccompProfile"):
        yield f"{field}[{_SECCOMP_POD}]: {_SECCOMP}"
    for container in spec.containers:
        own = container.securityContext
        key = _SECCOMP_CONTAINER + container.name
        if key in annotations and not own.HasField("seccompProfile"):
            yield f"{field}[{key}]: {_SECCOMP}"
        key = _APPARMOR_CONTAINER + container.name
        has_field = spec.securityContext.HasField("appArmorProfile") or own.HasField("appArmorProfile")
        if key in annotations and not has_field:
            yield f"{field}[{key}]: {_APPARMOR}"


def _aliases(spec: core_pb2.PodSpec, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for i, alias in enumerate(spec.hostAliases):
        if alias.ip in seen:
            yield f"{field}[{i}].ip: duplicate ip {causes.quoted(alias.ip)}"
        seen.add(alias.ip)


def _fractions(resources: core_pb2.ResourceRequirements, field: str, *, requests_follow: bool) -> Iterator[str]:
    """Amounts of bytes with a fraction. A pod's requests are its limits where it says nothing of them."""
    for name in _IN_BYTES:
        limit, request = resources.limits.get(name), resources.requests.get(name)
        for side, amount in (("limits", limit), ("requests", request or (limit if requests_follow else None))):
            if amount is not None and (text := _fraction(amount)):
                yield f'{field}.{side}[{name}]: fractional byte value "{text}" is invalid, must be an integer'


def _fraction(amount: Quantity) -> str:
    """Give a broken number as it is stored; nothing for a whole one, or where it is no number."""
    try:
        return "" if quantity.milli_value(amount) % 1000 == 0 else quantity.stored(amount.string)
    except quantity.QuantityError:
        return ""


def _variables(container: core_pb2.Container, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for i, variable in enumerate(container.env):
        extends = f"$({variable.name})" in variable.value and variable.value != f"$({variable.name})"
        if variable.name in seen and (variable.HasField("valueFrom") or not extends):
            name = causes.quoted(variable.name)
            yield f"{field}[{i}]: hides previous definition of {name}, which may be dropped when using apply"
        seen.add(variable.name)


def _ports(spec: core_pb2.PodSpec, field: str) -> Iterator[str]:
    """Ports that several containers, or one of them several times, have."""
    seen: dict[tuple[int, str], list[tuple[str, core_pb2.ContainerPort]]] = {}
    for i, container in enumerate(spec.containers):
        for j, port in enumerate(container.ports):
            here = f"{field}[{i}].ports[{j}]"
            if port.hostIP and not port.hostPort:
                yield f"{here}: hostIP set without hostPort: {_as_go(port)}"
            others = seen.setdefault((port.containerPort, port.protocol or "TCP"), [])
            for there, other in others:
                if message := _clash(port, other):
                    yield f"{here}: {message} port definition with {there}"
            if len(others) < _COMPARED:
                others.append((here, port))


def _clash(port: core_pb2.ContainerPort, other: core_pb2.ContainerPort) -> str:
    if (port.hostIP, port.hostPort) == (other.hostIP, other.hostPort):
        return "duplicate"
    if not port.hostPort or not other.hostPort:
        return "overlapping"
    if port.hostPort == other.hostPort and bool(port.hostIP) != bool(other.hostIP):
        return "dangerously ambiguous"
    return ""


def _as_go(port: core_pb2.ContainerPort) -> str:
    return (
        f"{{Name:{port.name} HostPort:{port.hostPort} ContainerPort:{port.containerPort} "
        f"Protocol:{port.protocol or 'TCP'} HostIP:{port.hostIP}}}"
    )
