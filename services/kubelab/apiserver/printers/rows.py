"""The cells of an object's row, as kubectl 1.32 prints them
(upstream: pkg/printers/internalversion/printers.go)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.core.pods import is_ready, is_terminal
from kubelab.apimachinery.timestamps import from_time, human_duration

NONE, UNKNOWN = "<none>", "<unknown>"
MAX_ENDPOINTS = 3
ROLE_PREFIX, ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def age(time: meta_pb2.Time | meta_pb2.MicroTime, now: float) -> str:
    """How long ago it was; a time that is not set is unknown."""
    return human_duration(now - from_time(time)) if time.seconds or time.nanos else UNKNOWN


def _joined(values: Iterable[str]) -> str:
    return ",".join(values) or NONE


def _pairs(values: Mapping[str, str]) -> str:
    return _joined(f"{key}={value}" for key, value in sorted(values.items()))


def pod_status(pod: core_pb2.Pod) -> tuple[str, int, int, float]:
    """STATUS, ready containers, restarts, and when the last restart was (0: never)."""
    reason = pod.status.reason or pod.status.phase
    ready = restarts = 0
    last_restart, running = 0.0, False
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            reason = condition.reason
    for status in reversed(pod.status.containerStatuses):  # so that the first container has the last word
        restarts += status.restartCount
        if status.lastState.HasField("terminated"):
            last_restart = max(last_restart, from_time(status.lastState.terminated.finishedAt))
        state = status.state
        if state.HasField("waiting") and state.waiting.reason:
            reason = state.waiting.reason
        elif state.HasField("terminated"):
            ended = state.terminated
            reason = ended.reason or (f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exitCode}")
        elif status.ready and state.HasField("running"):
            running = True
            ready += 1
    if reason == "Completed" and running:
        reason = "Running" if is_ready(pod) else "NotReady"
    if pod.metadata.HasField("deletionTimestamp"):
        if pod.status.reason == "NodeLost":
            reason = "Unknown"
        elif not is_terminal(pod):
            reason = "Terminating"
    return reason, ready, restarts, last_restart


def pod_row(pod: core_pb2.Pod, now: float) -> list[str]:
    reason, ready, restarts, last = pod_status(pod)
    told = f"{restarts} ({human_duration(now - last)} ago)" if restarts and last else str(restarts)
    return [
        pod.metadata.name,
        f"{ready}/{len(pod.spec.containers)}",
        reason,
        told,
        age(pod.metadata.creationTimestamp, now),
        pod.status.podIPs[0].ip if pod.status.podIPs else pod.status.podIP or NONE,
        pod.spec.nodeName or NONE,
        pod.status.nominatedNodeName or NONE,
        NONE,  # there are no readiness gates
    ]


def node_row(node: core_pb2.Node, now: float) -> list[str]:
    ready = next((c for c in reversed(node.status.conditions) if c.type == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    addresses = {a.type: a.address for a in reversed(node.status.addresses)}
    info = node.status.nodeInfo
    return [
        node.metadata.name,
        ",".join(words),
        _joined(node_roles(node)),
        age(node.metadata.creationTimestamp, now),
        info.kubeletVersion,
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.osImage or UNKNOWN,
        info.kernelVersion or UNKNOWN,
        info.containerRuntimeVersion or UNKNOWN,
    ]


def node_roles(node: core_pb2.Node) -> list[str]:
    """What labels say that a node is for, sorted."""
    roles: set[str] = set()
    for key, value in node.metadata.labels.items():
        if key.startswith(ROLE_PREFIX) and len(key) > len(ROLE_PREFIX):
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL and value:
            roles.add(value)
    return sorted(roles)


def service_row(service: core_pb2.Service, now: float) -> list[str]:
    spec = service.spec
    return [
        service.metadata.name,
        spec.type,
        spec.clusterIPs[0] if spec.clusterIPs else spec.clusterIP or NONE,
        _external_address(service),
        _joined(_port(port) for port in spec.ports),
        age(service.metadata.creationTimestamp, now),
        _pairs(spec.selector),
    ]


def _external_address(service: core_pb2.Service) -> str:
    spec = service.spec
    match spec.type:
        case "LoadBalancer":
            points = {point.ip or point.hostname for point in service.status.loadBalancer.ingress}
            return ",".join([*sorted(points - {""}), *spec.externalIPs]) or "<pending>"
        case "ExternalName":
            return spec.externalName
        case "ClusterIP" | "NodePort":
            return _joined(spec.externalIPs)
        case _:
            return UNKNOWN


def _port(port: core_pb2.ServicePort) -> str:
    return f"{port.port}:{port.nodePort}/{port.protocol}" if port.nodePort else f"{port.port}/{port.protocol}"


def endpoints_row(endpoints: core_pb2.Endpoints, now: float) -> list[str]:
    return [
        endpoints.metadata.name,
        endpoints_text(endpoints),
        age(endpoints.metadata.creationTimestamp, now),
    ]


def endpoints_text(endpoints: core_pb2.Endpoints) -> str:
    """``10.244.1.2:8080,10.244.2.2:8080 + 3 more...``; nothing while all addresses are not ready, as upstream."""
    if not endpoints.subsets:
        return NONE
    found: list[str] = []
    for subset in endpoints.subsets:
        if subset.ports:
            found += [_with_port(a.ip, port.port) for port in subset.ports for a in subset.addresses]
        else:
            found += [a.ip for a in subset.addresses]
    shown = ",".join(found[:MAX_ENDPOINTS])
    more = len(found) - MAX_ENDPOINTS
    return f"{shown} + {more} more..." if more > 0 else shown


def _with_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def namespace_row(namespace: core_pb2.Namespace, now: float) -> list[str]:
    return [namespace.metadata.name, namespace.status.phase, age(namespace.metadata.creationTimestamp, now)]


def controller_row(rc: core_pb2.ReplicationController, now: float) -> list[str]:
    containers = rc.spec.template.spec.containers
    return [
        rc.metadata.name,
        str(rc.spec.replicas),
        str(rc.status.replicas),
        str(rc.status.readyReplicas),
        age(rc.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
        _pairs(rc.spec.selector),
    ]


def event_row(event: core_pb2.Event, now: float) -> list[str]:
    first = age(event.firstTimestamp if event.firstTimestamp.seconds else event.eventTime, now)
    last = age(event.lastTimestamp, now) if event.lastTimestamp.seconds else first
    count = event.count or 1
    if event.HasField("series"):
        last, count = age(event.series.lastObservedTime, now), event.series.count
    about = event.involvedObject
    source = event.source.component or event.reportingComponent
    host = event.source.host or event.reportingInstance
    return [
        last,
        event.type,
        event.reason,
        f"{about.kind.lower()}/{about.name}" if about.name else about.kind.lower(),
        about.fieldPath,
        f"{source}, {host}" if host else source,
        event.message.strip(),
        first,
        str(count),
        event.metadata.name,
    ]


def config_map_row(config_map: core_pb2.ConfigMap, now: float) -> list[str]:
    keys = len(config_map.data) + len(config_map.binaryData)
    return [config_map.metadata.name, str(keys), age(config_map.metadata.creationTimestamp, now)]


def secret_row(secret: core_pb2.Secret, now: float) -> list[str]:
    return [secret.metadata.name, secret.type, str(len(secret.data)), age(secret.metadata.creationTimestamp, now)]


def lease_row(lease: coordination_pb2.Lease, now: float) -> list[str]:
    return [lease.metadata.name, lease.spec.holderIdentity, age(lease.metadata.creationTimestamp, now)]
