"""A container's environment, command and arguments, with upstream's rules of expansion. Pure: what it refers to is
read beforehand (:mod:`kubelab.apimachinery.core.podreferences`) and given in.

https://kubernetes.io/docs/tasks/inject-data-application/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_ENV_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")


class ConfigError(Exception):
    """The container cannot be configured: CreateContainerConfigError, with this message."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What an environment may refer to. A name that is missing in a mapping does not exist in the cluster."""

    config_maps: Mapping[str, core_pb2.ConfigMap] = field(default_factory=dict[str, core_pb2.ConfigMap])
    secrets: Mapping[str, core_pb2.Secret] = field(default_factory=dict[str, core_pb2.Secret])
    services: tuple[core_pb2.Service, ...] = ()
    host_ip: str = ""
    pod_ips: tuple[str, ...] = ()


def environment(pod: core_pb2.Pod, container: core_pb2.Container, sources: Sources) -> dict[str, str]:
    """Build the environment: envFrom, over it env in its order, and the services' variables below both.

    Raises :class:`ConfigError` for a reference that leads nowhere and is not optional.
    """
    services = service_variables(pod, sources.services)
    result: dict[str, str] = {}
    for source in container.envFrom:
        result.update(_env_from(pod, source, sources))
    for env in container.env:
        if env.HasField("valueFrom"):
            value = _value_from(pod, env.valueFrom, sources)
            if value is None:
                continue
        else:
            value = expand(env.value, result, services)
        result[env.name] = value
    return {**result, **{name: value for name, value in services.items() if name not in result}}


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; an unknown name stays as it is written, and ``$$`` is a dollar sign."""
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out.append(text[at])
            at += 1
        elif text[at + 1] == "$":
            out.append("$")
            at += 2
        elif text[at + 1] == "(" and (end := text.find(")", at + 2)) >= 0:
            name = text[at + 2 : end]
            out.append(next((scope[name] for scope in scopes if name in scope), f"$({name})"))
            at = end + 1
        else:
            out.append(text[at : at + 2])
            at += 2
    return "".join(out)


def expand_all(words: Iterable[str], variables: Mapping[str, str]) -> list[str]:
    """Expand a command or its arguments with the finished environment."""
    return [expand(word, variables) for word in words]


def field_value(pod: core_pb2.Pod, path: str, sources: Sources) -> str:
    """Give what a fieldRef points to; :class:`ConfigError` for a path that is not offered."""
    meta, spec = pod.metadata, pod.spec
    if match := _SUBSCRIPT.match(path):
        values = meta.labels if match[1] == "labels" else meta.annotations
        return values.get(match[2], "")
    host_ips = sources.host_ip
    pod_ips = sources.pod_ips
    simple = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "metadata.labels": _pairs(meta.labels),
        "metadata.annotations": _pairs(meta.annotations),
        "spec.nodeName": spec.nodeName,
        "spec.serviceAccountName": spec.serviceAccountName,
        "status.hostIP": host_ips,
        "status.hostIPs": host_ips,
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return simple[path]


def service_variables(pod: core_pb2.Pod, services: Iterable[core_pb2.Service]) -> dict[str, str]:
    """Give ``REDIS_SERVICE_HOST`` and the docker-link names for the services of the pod's namespace, and always for
    ``kubernetes``; with enableServiceLinks: false only the latter."""
    links = pod.spec.enableServiceLinks if pod.spec.HasField("enableServiceLinks") else True
    chosen: dict[str, core_pb2.Service] = {}
    for service in services:
        meta = service.metadata
        if service.spec.clusterIP in ("", "None"):
            continue
        master = meta.namespace == "default" and meta.name == "kubernetes"
        if meta.namespace == pod.metadata.namespace and (links or master):
            chosen[meta.name] = service
        elif master:
            chosen.setdefault(meta.name, service)
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_one_service(chosen[name]))
    return result


def _one_service(service: core_pb2.Service) -> dict[str, str]:
    ip = service.spec.clusterIP
    prefix = service.metadata.name.upper().replace("-", "_")
    ports = service.spec.ports
    result = {f"{prefix}_SERVICE_HOST": ip}
    if ports:
        result[f"{prefix}_SERVICE_PORT"] = str(ports[0].port)
    for port in ports:
        if port.name:
            result[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for index, port in enumerate(ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{_bracketed(ip)}:{port.port}"
        if index == 0:
            result[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        result[link] = url
        result[f"{link}_PROTO"] = protocol.lower()
        result[f"{link}_PORT"] = str(port.port)
        result[f"{link}_ADDR"] = ip
    return result


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def _pairs(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={json.dumps(values[key], ensure_ascii=False)}" for key in sorted(values))  # Go's %q


def _env_from(pod: core_pb2.Pod, source: core_pb2.EnvFromSource, sources: Sources) -> dict[str, str]:
    pairs: dict[str, str] = {}
    if source.HasField("configMapRef"):
        ref = source.configMapRef
        config_map = _config_map(ref.localObjectReference.name, ref.optional, sources)
        pairs = dict(config_map.data) if config_map is not None else {}
    elif source.HasField("secretRef"):
        ref = source.secretRef
        secret = _secret(ref.localObjectReference.name, ref.optional, sources)
        pairs = {k: v.decode(errors="replace") for k, v in secret.data.items()} if secret is not None else {}
    # A key that is no name for a variable is skipped, as upstream does.
    return {source.prefix + k: pairs[k] for k in sorted(pairs) if _ENV_NAME.match(source.prefix + k)}


def _value_from(pod: core_pb2.Pod, source: core_pb2.EnvVarSource, sources: Sources) -> str | None:
    if source.HasField("fieldRef"):
        return field_value(pod, source.fieldRef.fieldPath, sources)
    namespace = pod.metadata.namespace
    if source.HasField("configMapKeyRef"):
        ref = source.configMapKeyRef
        name = ref.localObjectReference.name
        config_map = _config_map(name, ref.optional, sources)
        if config_map is not None and ref.key in config_map.data:
            return config_map.data[ref.key]
        return _missing(ref.optional, f"couldn't find key {ref.key} in ConfigMap {namespace}/{name}")
    if source.HasField("secretKeyRef"):
        ref = source.secretKeyRef
        name = ref.localObjectReference.name
        secret = _secret(name, ref.optional, sources)
        if secret is not None and ref.key in secret.data:
            return secret.data[ref.key].decode(errors="replace")
        return _missing(ref.optional, f"couldn't find key {ref.key} in Secret {namespace}/{name}")
    return ""


def _missing(optional: bool, message: str) -> None:
    if not optional:
        raise ConfigError(message)


def _config_map(name: str, optional: bool, sources: Sources) -> core_pb2.ConfigMap | None:
    config_map = sources.config_maps.get(name)
    if config_map is None and not optional:
        raise ConfigError(f'configmap "{name}" not found')
    return config_map


def _secret(name: str, optional: bool, sources: Sources) -> core_pb2.Secret | None:
    secret = sources.secrets.get(name)
    if secret is None and not optional:
        raise ConfigError(f'secret "{name}" not found')
    return secret
