"""A pod's spec, in a pod or in a template: defaults and rules
(https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.api.resource.quantity_pb2 import Quantity
from kubelab.apimachinery import names, quantity
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_SUBSCRIPTED = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")


def default(spec: core_pb2.PodSpec) -> None:
    """Fill in what is not said."""
    spec.restartPolicy = spec.restartPolicy or "Always"
    spec.dnsPolicy = spec.dnsPolicy or "ClusterFirst"
    spec.schedulerName = spec.schedulerName or "default-scheduler"
    if not spec.HasField("terminationGracePeriodSeconds"):
        spec.terminationGracePeriodSeconds = 30
    if not spec.HasField("enableServiceLinks"):
        spec.enableServiceLinks = True
    spec.securityContext.SetInParent()
    for container in spec.containers:
        _default_container(container, host_network=spec.hostNetwork)


def _default_container(container: core_pb2.Container, *, host_network: bool) -> None:
    if not container.imagePullPolicy:
        _, _, tag = container.image.rpartition("/")[2].partition(":")
        digest = "@" in container.image
        container.imagePullPolicy = "IfNotPresent" if digest or tag not in ("", "latest") else "Always"
    for port in container.ports:
        port.protocol = port.protocol or "TCP"
        if host_network and not port.hostPort:
            port.hostPort = port.containerPort
    for variable in container.env:
        if variable.valueFrom.HasField("fieldRef") and not variable.valueFrom.fieldRef.apiVersion:
            variable.valueFrom.fieldRef.apiVersion = "v1"
    resources = container.resources
    for amounts in (resources.limits, resources.requests):
        for name in amounts:
            try:
                amounts[name].string = quantity.canonical(amounts[name].string)
            except quantity.QuantityError:
                continue  # validation names it
    for name, limit in resources.limits.items():
        if name not in resources.requests:
            resources.requests[name].CopyFrom(limit)


def validate(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """All complaints about a spec that has its defaults."""
    found: list[Cause] = []
    if not spec.containers:
        found.append(causes.required(f"{field}.containers"))
    seen: set[str] = set()
    for i, container in enumerate(spec.containers):
        here = f"{field}.containers[{i}]"
        found += _container(container, here, host_network=spec.hostNetwork)
        if container.name in seen:
            found.append(causes.duplicate(f"{here}.name", container.name))
        seen.add(container.name)
    found += _host_ports(spec, field)
    if spec.restartPolicy not in RESTART_POLICIES:
        found.append(causes.unsupported(f"{field}.restartPolicy", spec.restartPolicy, RESTART_POLICIES))
    if spec.dnsPolicy not in DNS_POLICIES:
        found.append(causes.unsupported(f"{field}.dnsPolicy", spec.dnsPolicy, DNS_POLICIES))
    found += metadata.labels(f"{field}.nodeSelector", spec.nodeSelector)
    found += causes.non_negative(f"{field}.terminationGracePeriodSeconds", spec.terminationGracePeriodSeconds)
    if spec.HasField("activeDeadlineSeconds") and not 1 <= spec.activeDeadlineSeconds < 2**31:
        told = "must be between 1 and 2147483647, inclusive"
        found.append(causes.invalid(f"{field}.activeDeadlineSeconds", spec.activeDeadlineSeconds, told))
    if spec.serviceAccountName:
        problems = names.dns_subdomain(spec.serviceAccountName)
        found += causes.each(f"{field}.serviceAccountName", spec.serviceAccountName, problems)
    if spec.nodeName:
        found += causes.each(f"{field}.nodeName", spec.nodeName, names.dns_subdomain(spec.nodeName))
    for name, value in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if value:
            found += causes.each(f"{field}.{name}", value, names.dns_label(value))
    for i, toleration in enumerate(spec.tolerations):
        found += _toleration(toleration, f"{field}.tolerations[{i}]")
    return found


def _container(container: core_pb2.Container, field: str, *, host_network: bool) -> list[Cause]:
    found: list[Cause] = []
    if not container.name:
        found.append(causes.required(f"{field}.name"))
    else:
        found += causes.each(f"{field}.name", container.name, names.dns_label(container.name))
    if not container.image:
        found.append(causes.required(f"{field}.image"))
    elif container.image != container.image.strip():
        told = "must not have leading or trailing whitespace"
        found.append(causes.invalid(f"{field}.image", container.image, told))
    if container.imagePullPolicy not in PULL_POLICIES:
        found.append(causes.unsupported(f"{field}.imagePullPolicy", container.imagePullPolicy, PULL_POLICIES))
    found += _ports(container, f"{field}.ports", host_network=host_network)
    for i, variable in enumerate(container.env):
        found += _variable(variable, f"{field}.env[{i}]")
    for i, source in enumerate(container.envFrom):
        found += _source(source, f"{field}.envFrom[{i}]")
    found += _resources(container.resources, f"{field}.resources")
    return found


def _ports(container: core_pb2.Container, field: str, *, host_network: bool) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for i, port in enumerate(container.ports):
        here = f"{field}[{i}]"
        if port.name:
            found += causes.each(f"{here}.name", port.name, names.port_name(port.name))
            if port.name in seen:
                found.append(causes.duplicate(f"{here}.name", port.name))
            seen.add(port.name)
        if not port.containerPort:
            found.append(causes.required(f"{here}.containerPort"))
        else:
            found += causes.each(f"{here}.containerPort", port.containerPort, names.port_number(port.containerPort))
        if port.hostPort:
            found += causes.each(f"{here}.hostPort", port.hostPort, names.port_number(port.hostPort))
            if host_network and port.hostPort != port.containerPort:
                told = "must match `containerPort` when `hostNetwork` is true"
                found.append(causes.invalid(f"{here}.hostPort", port.hostPort, told))
        if port.protocol not in PROTOCOLS:
            found.append(causes.unsupported(f"{here}.protocol", port.protocol, PROTOCOLS))
    return found


def _host_ports(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[tuple[str, str, int]] = set()
    for i, container in enumerate(spec.containers):
        for j, port in enumerate(container.ports):
            if not port.hostPort:
                continue
            key = (port.protocol, port.hostIP, port.hostPort)
            if key in seen:
                told = f"{port.protocol}/{port.hostIP}/{port.hostPort}"
                found.append(causes.duplicate(f"{field}.containers[{i}].ports[{j}].hostPort", told))
            seen.add(key)
    return found


def _variable(variable: core_pb2.EnvVar, field: str) -> list[Cause]:
    found: list[Cause] = []
    if not variable.name:
        found.append(causes.required(f"{field}.name"))
    else:
        found += causes.each(f"{field}.name", variable.name, names.env_var_name(variable.name))
    if not variable.HasField("valueFrom"):
        return found
    source, here = variable.valueFrom, f"{field}.valueFrom"
    from_map, from_secret = source.HasField("configMapKeyRef"), source.HasField("secretKeyRef")
    given = sum((source.HasField("fieldRef"), from_map, from_secret))
    if variable.value:
        told = "may not be specified when `value` is not empty"
        found.append(causes.invalid(here, "", told))
    if not given:
        told = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        found.append(causes.invalid(here, "", told))
    elif given > 1:
        found.append(causes.invalid(here, "", "may not have more than one field specified at a time"))
    if source.HasField("fieldRef"):
        path = source.fieldRef.fieldPath
        if not path:
            found.append(causes.required(f"{here}.fieldRef.fieldPath"))
        elif path not in FIELD_PATHS and not _SUBSCRIPTED.fullmatch(path):
            found.append(causes.unsupported(f"{here}.fieldRef.fieldPath", path, FIELD_PATHS))
    refs = (("configMapKeyRef", from_map, source.configMapKeyRef), ("secretKeyRef", from_secret, source.secretKeyRef))
    for name, is_given, ref in refs:
        if is_given:
            if not ref.localObjectReference.name:
                found.append(causes.required(f"{here}.{name}.name"))
            if not ref.key:
                found.append(causes.required(f"{here}.{name}.key"))
            else:
                found += causes.each(f"{here}.{name}.key", ref.key, names.config_key(ref.key))
    return found


def _source(source: core_pb2.EnvFromSource, field: str) -> list[Cause]:
    found: list[Cause] = []
    if source.prefix:
        found += causes.each(f"{field}.prefix", source.prefix, names.env_var_name(source.prefix))
    from_map, from_secret = source.HasField("configMapRef"), source.HasField("secretRef")
    if from_map == from_secret:
        told = (
            "may not have more than one field specified at a time"
            if from_map
            else ("must specify one of: `configMapRef` or `secretRef`")
        )
        found.append(causes.invalid(field, "", told))
    refs = (("configMapRef", from_map, source.configMapRef), ("secretRef", from_secret, source.secretRef))
    for name, is_given, ref in refs:
        if is_given and not ref.localObjectReference.name:
            found.append(causes.required(f"{field}.{name}.name"))
    return found


def _resources(resources: core_pb2.ResourceRequirements, field: str) -> list[Cause]:
    found: list[Cause] = []
    for kind, amounts in (("limits", resources.limits), ("requests", resources.requests)):
        found += _amounts(amounts, f"{field}.{kind}")
    if found:
        return found
    for name, limit in resources.limits.items():
        request = resources.requests.get(name)
        if request is not None and quantity.amount(request) > quantity.amount(limit):
            told = f"must be less than or equal to {name} limit of {limit.string}"
            found.append(causes.invalid(f"{field}.requests", request.string, told))
    return found


def _amounts(amounts: Mapping[str, Quantity], field: str) -> list[Cause]:
    found: list[Cause] = []
    for name, amount in sorted(amounts.items()):
        here = f"{field}[{name}]" if "." in name else f"{field}.{name}"
        if name not in ("cpu", "memory", "ephemeral-storage") and "/" not in name:
            told = "must be a standard resource type or fully qualified"
            found.append(causes.invalid(here, name, told))
        try:
            if quantity.amount(amount) < 0:
                found.append(causes.invalid(here, amount.string, "must be greater than or equal to 0"))
        except quantity.QuantityError as err:
            found.append(causes.invalid(here, amount.string, str(err)))
    return found


def _toleration(toleration: core_pb2.Toleration, field: str) -> list[Cause]:
    found: list[Cause] = []
    if toleration.key:
        found += causes.each(f"{field}.key", toleration.key, names.qualified_name(toleration.key))
    elif toleration.operator != "Exists":
        told = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        found.append(causes.invalid(f"{field}.operator", toleration.operator, told))
    if toleration.operator not in ("", "Equal", "Exists"):
        found.append(causes.unsupported(f"{field}.operator", toleration.operator, ("Equal", "Exists")))
    if toleration.operator == "Exists" and toleration.value:
        told = "value must be empty when `operator` is 'Exists'"
        found.append(causes.invalid(f"{field}.operator", toleration.value, told))
    if toleration.HasField("tolerationSeconds") and toleration.effect != "NoExecute":
        told = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        found.append(causes.invalid(f"{field}.effect", toleration.effect, told))
    if toleration.effect and toleration.effect not in EFFECTS:
        found.append(causes.unsupported(f"{field}.effect", toleration.effect, EFFECTS))
    return found
