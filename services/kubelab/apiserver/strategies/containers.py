"""Containers, in a pod or in a template: defaults and rules (upstream: validateContainers)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names, references
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import addresses, causes, resources, security
from kubelab.topology import reservedports

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
PROTOCOLS = ("SCTP", "TCP", "UDP")
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
# What the pod API knows besides, and an environment cannot have.
_OTHER_PATHS = ("metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase")
_SUBSCRIPTED = re.compile(r"(?P<path>[^\[\]]+)\['(?P<subscript>.*)'\]", re.DOTALL)
_SEVERAL = "may not have more than one field specified at a time"


def default(container: core_pb2.Container) -> None:
    """Fill in what is not said."""
    if not container.imagePullPolicy:
        container.imagePullPolicy = "Always" if _tag(container.image) == "latest" else "IfNotPresent"
    container.terminationMessagePath = container.terminationMessagePath or TERMINATION_MESSAGE_PATH
    container.terminationMessagePolicy = container.terminationMessagePolicy or "File"
    for port in container.ports:
        if not port.protocol:
            port.protocol = "TCP"
    for variable in container.env:
        if variable.valueFrom.HasField("fieldRef") and not variable.valueFrom.fieldRef.apiVersion:
            variable.valueFrom.fieldRef.apiVersion = "v1"
    if container.HasField("resources"):
        resources.store(container.resources.limits)
        resources.store(container.resources.requests)


def _tag(image: str) -> str:
    """``latest`` where an image names neither a tag nor a digest; nothing where the text names no image."""
    try:
        return references.parse(image).tag
    except references.BadReference:
        return ""


def validate(container: core_pb2.Container, field: str, *, host_users: bool = True) -> list[Cause]:
    """All complaints about a container that has its defaults; ``host_users`` as :func:`security.container` has it."""
    complaints: list[Cause] = []
    if not container.name:
        complaints.append(causes.required(f"{field}.name"))
    elif problems := names.dns_label(container.name):
        complaints += causes.each(f"{field}.name", container.name, problems)
    if not container.image:
        complaints.append(causes.required(f"{field}.image"))
    policy = container.terminationMessagePolicy
    if policy and policy not in MESSAGE_POLICIES:  # none: a container of a pod that is older than the default
        complaints.append(causes.unsupported(f"{field}.terminationMessagePolicy", policy, MESSAGE_POLICIES))
    if container.ports:
        complaints += _ports(container, f"{field}.ports")
    for i, variable in enumerate(container.env):
        complaints += _variable(variable, f"{field}.env[{i}]")
    for i, source in enumerate(container.envFrom):
        complaints += _source(source, f"{field}.envFrom", i)
    if container.imagePullPolicy not in PULL_POLICIES:
        complaints += causes.one_of(f"{field}.imagePullPolicy", container.imagePullPolicy, PULL_POLICIES)
    if container.HasField("resources"):
        complaints += resources.validate(container.resources, f"{field}.resources")
    if container.HasField("securityContext"):
        complaints += security.container(container.securityContext, f"{field}.securityContext", host_users=host_users)
    return complaints


def _ports(container: core_pb2.Container, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, port in enumerate(container.ports):
        here = f"{field}[{i}]"
        if port.name:
            if problems := names.port_name(port.name):
                complaints += causes.each(f"{here}.name", port.name, problems)
            elif port.name in seen:
                complaints.append(causes.duplicate(f"{here}.name", port.name))
            seen.add(port.name)
        if not port.containerPort:
            complaints.append(causes.required(f"{here}.containerPort"))
        elif problems := names.port_number(port.containerPort):
            complaints += causes.each(f"{here}.containerPort", port.containerPort, problems)
        if port.hostPort and (problems := names.port_number(port.hostPort)):
            complaints += causes.each(f"{here}.hostPort", port.hostPort, problems)
        elif port.hostPort:
            complaints += reserved_port(f"{here}.hostPort", port.hostPort, port.protocol)
        if port.hostIP:  # upstream takes any text; here it becomes a rule of the node's
            complaints += addresses.valid(f"{here}.hostIP", port.hostIP)
        if port.protocol not in PROTOCOLS:
            complaints += causes.one_of(f"{here}.protocol", port.protocol, PROTOCOLS)
    return complaints


def reserved_port(field: str, port: int, protocol: str) -> list[Cause]:
    """Complain of a node's port that one of its own processes has, on this node or another one."""
    process = reservedports.owner(port, protocol)
    return [causes.invalid(field, port, f"may not be used since it is used by a node's {process}")] if process else []


def _variable(variable: core_pb2.EnvVar, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not variable.name:
        complaints.append(causes.required(f"{field}.name"))
    elif problems := names.env_var_name(variable.name):
        complaints += causes.each(f"{field}.name", variable.name, problems)
    if not variable.HasField("valueFrom"):
        return complaints
    source, here = variable.valueFrom, f"{field}.valueFrom"
    given = 0
    if source.HasField("fieldRef"):
        given += 1
        complaints += field_reference(source.fieldRef, f"{here}.fieldRef")
    if source.HasField("resourceFieldRef"):
        given += 1
    if source.HasField("configMapKeyRef"):
        given += 1
        complaints += _key_reference(source.configMapKeyRef, f"{here}.configMapKeyRef")
    if source.HasField("secretKeyRef"):
        given += 1
        complaints += _key_reference(source.secretKeyRef, f"{here}.secretKeyRef")
    if not given:
        message = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        complaints.append(causes.invalid(here, "", message))
    elif variable.value:
        complaints.append(causes.invalid(here, "", "may not be specified when `value` is not empty"))
    elif given > 1:
        complaints.append(causes.invalid(here, "", _SEVERAL))
    return complaints


def field_reference(ref: core_pb2.ObjectFieldSelector, field: str, paths: Sequence[str] = FIELD_PATHS) -> list[Cause]:
    """Complain of a field that is none, or not of those that may be asked for here."""
    if not ref.apiVersion:
        return [causes.required(f"{field}.apiVersion")]
    if not ref.fieldPath:
        return [causes.required(f"{field}.fieldPath")]
    path = "spec.nodeName" if ref.fieldPath == "spec.host" else ref.fieldPath
    unknown = ""
    subscripted = _SUBSCRIPTED.fullmatch(path)
    if ref.apiVersion != "v1":
        unknown = f"unsupported pod version: {ref.apiVersion}"
    elif subscripted and subscripted["path"] not in ("metadata.annotations", "metadata.labels"):
        unknown = f"field label does not support subscript: {path}"
    elif not subscripted and path not in (*FIELD_PATHS, *_OTHER_PATHS):
        unknown = f"field label not supported: {path}"
    if unknown:
        return [causes.invalid(f"{field}.fieldPath", ref.fieldPath, f"error converting fieldPath: {unknown}")]
    if subscripted:
        key = subscripted["subscript"]
        key = key.lower() if subscripted["path"] == "metadata.annotations" else key
        return causes.each(field, key, names.qualified_name(key))
    return [] if path in paths else [causes.unsupported(f"{field}.fieldPath", path, paths)]


def _key_reference(ref: core_pb2.ConfigMapKeySelector | core_pb2.SecretKeySelector, field: str) -> list[Cause]:
    name = ref.localObjectReference.name
    complaints = causes.each(f"{field}.name", name, names.dns_subdomain(name))
    if not ref.key:
        return [*complaints, causes.required(f"{field}.key")]
    return [*complaints, *causes.each(f"{field}.key", ref.key, names.config_key(ref.key))]


def _source(source: core_pb2.EnvFromSource, field: str, i: int) -> list[Cause]:
    complaints: list[Cause] = []
    here = f"{field}[{i}]"
    if source.prefix:
        complaints += causes.each(f"{here}.prefix", source.prefix, names.env_var_name(source.prefix))
    from_map, from_secret = source.HasField("configMapRef"), source.HasField("secretRef")
    refs = (("configMapRef", from_map, source.configMapRef), ("secretRef", from_secret, source.secretRef))
    for kind, is_given, ref in refs:
        if not is_given:
            continue
        name = ref.localObjectReference.name
        if not name:
            complaints.append(causes.required(f"{here}.{kind}.name"))
        else:
            problems = names.dns_subdomain(names.generate_prefix(name))
            complaints += causes.each(f"{here}.{kind}.name", name, problems)
    if not from_map and not from_secret:
        complaints.append(causes.invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif from_map and from_secret:
        complaints.append(causes.invalid(field, "", _SEVERAL))
    return complaints
