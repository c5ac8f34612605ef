"""The objects that ``kctl run`` and ``kctl create …`` make from flags, as kubectl's generators do. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr, names, references
from kubelab.kctl.flags import UsageProblem

RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("", "Always", "IfNotPresent", "Never")

_NUMBER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)


def pod(
    name: str,
    *,
    image: str,
    restart: str = "Always",
    port: str = "",
    labels: str = "",
    annotations: Sequence[str] = (),
    env: Sequence[str] = (),
    arguments: Sequence[str] = (),
    as_command: bool = False,
    image_pull_policy: str = "",
    privileged: bool = False,
) -> core_pb2.Pod:
    """Make the pod of ``kctl run``. Raises UsageProblem for what is not well formed."""
    if restart not in RESTART_POLICIES:
        raise UsageProblem(f"invalid restart policy: {restart}", "kctl run", hint="arguments")
    if not references.is_reference(image):
        raise UsageProblem(f'Invalid image name "{image}": invalid reference format')
    if image_pull_policy not in PULL_POLICIES:
        raise UsageProblem(f"invalid image pull policy: {image_pull_policy}", "kctl run", hint="arguments")
    obj = core_pb2.Pod()
    obj.metadata.name = name
    obj.metadata.labels.update(parse_labels(labels) if labels else {"run": name})
    for annotation in annotations:
        key, separator, value = annotation.partition("=")
        if not separator or not key:
            raise UsageProblem(f"invalid annotations format: {annotation}")
        obj.metadata.annotations[key] = value
    obj.spec.restartPolicy = restart
    obj.spec.dnsPolicy = "ClusterFirst"
    container = obj.spec.containers.add(name=name, image=image, imagePullPolicy=image_pull_policy)
    (container.command if as_command else container.args).extend(arguments)
    for variable in env:
        key, separator, value = variable.partition("=")
        if not separator or not _ENV_NAME.fullmatch(key):
            raise UsageProblem(f"invalid env: {variable}")
        container.env.add(name=key, value=value)
    if port:
        container.ports.add(containerPort=_int32(port))
    if privileged:
        container.securityContext.privileged = True
    return obj


def service_of_pod(name: str, port: str, labels: str = "") -> core_pb2.Service:
    """Make the service of ``kctl run --expose``."""
    obj = core_pb2.Service()
    obj.metadata.name = name
    if labels:
        obj.metadata.labels.update(parse_labels(labels))
    obj.spec.selector.update(parse_labels(labels) if labels else {"run": name})
    number = _int32(port)
    obj.spec.ports.add(protocol="TCP", port=number).targetPort.CopyFrom(intstr.from_int(number))
    return obj


def namespace(name: str) -> core_pb2.Namespace:
    """Make what ``kctl create namespace`` creates."""
    obj = core_pb2.Namespace()
    obj.metadata.name = name
    return obj


def service(
    name: str, kind: str, *, tcp: Sequence[str] = (), cluster_ip: str = "", node_port: int = 0, external_name: str = ""
) -> core_pb2.Service:
    """Make what ``kctl create service …`` creates: it selects ``app=NAME``, and carries that label."""
    obj = core_pb2.Service()
    obj.metadata.name = name
    obj.metadata.labels["app"] = name
    obj.spec.selector["app"] = name
    obj.spec.type = kind
    headless = cluster_ip == "None" or kind == "ExternalName"
    if not tcp and not headless:
        raise UsageProblem("at least one tcp port specifier must be provided")
    if cluster_ip:
        obj.spec.clusterIP = cluster_ip
    if external_name:
        obj.spec.externalName = external_name
    for pair in tcp:
        obj.spec.ports.append(_service_port(pair, node_port))
    return obj


def _service_port(pair: str, node_port: int) -> core_pb2.ServicePort:
    first, separator, rest = pair.partition(":")
    second = rest.partition(":")[0]  # kubectl ignores what stands behind another colon
    port = core_pb2.ServicePort(name=pair.replace(":", "-"), protocol="TCP", port=_port(first))
    target = second if separator else first
    if _NUMBER.fullmatch(target):
        if separator and not 0 < int(target) < 2**16:
            raise UsageProblem("must be between 1 and 65535, inclusive")
        port.targetPort.CopyFrom(intstr.from_int(int(target)))
    else:
        problems = names.port_name(target)
        if problems:
            raise UsageProblem(",".join(problems))
        port.targetPort.CopyFrom(intstr.from_string(target))
    if node_port:  # what is no port is the server's to refuse
        port.nodePort = _int32(str(node_port), "ParseInt")
    return port


def parse_labels(text: str) -> Mapping[str, str]:
    """Read ``app=web,tier=front``."""
    labels: dict[str, str] = {}
    for part in text.split(","):
        if part.count("=") != 1:
            raise UsageProblem(f"unexpected label spec: {part}")
        key, _, value = part.partition("=")
        if not key:
            raise UsageProblem("unexpected empty label key")
        labels[key] = value
    return labels


def _port(text: str) -> int:
    return _number(text, "ParseUint", re.compile(r"[0-9]+", re.ASCII), 0, 2**16)


def _int32(text: str, function: str = "Atoi") -> int:
    return _number(text, function, _NUMBER, -(2**31), 2**31)


def _number(text: str, function: str, form: re.Pattern[str], low: int, end: int) -> int:
    if not form.fullmatch(text):
        raise UsageProblem(f'strconv.{function}: parsing "{text}": invalid syntax')
    if not low <= int(text) < end:
        raise UsageProblem(f'strconv.{function}: parsing "{text}": value out of range')
    return int(text)
