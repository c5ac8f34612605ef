"""Small makers of objects for tests: what a test does not care about has a harmless default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme


def pod(
    name: str = "web",
    *,
    namespace: str = "default",
    uid: str = "",
    labels: Mapping[str, str] | None = None,
    node: str = "",
    ip: str = "",
    phase: str = "Pending",
    ready: bool | None = None,
    ready_since: int = 0,
    requests: Mapping[str, str] | None = None,
    host_ports: Sequence[int] = (),
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[core_pb2.Toleration] = (),
    owner: meta_pb2.OwnerReference | None = None,
    created: int = 0,
    restarts: int = 0,
    deleting: bool = False,
) -> core_pb2.Pod:
    """Make a pod of one container; ``ready`` sets its Ready condition, None leaves it out."""
    made = core_pb2.Pod()
    meta, spec, status = made.metadata, made.spec, made.status
    meta.name, meta.namespace, meta.uid = name, namespace, uid or f"uid-of-{name}"
    meta.labels.update(labels or {})
    if created:
        meta.creationTimestamp.seconds = created
    if deleting:
        meta.deletionTimestamp.seconds = 1
        meta.deletionGracePeriodSeconds = 30
    if owner is not None:
        meta.ownerReferences.append(owner)
    container = spec.containers.add(name="main", image="host")
    for resource, amount in (requests or {}).items():
        container.resources.requests[resource].string = amount
    for port in host_ports:
        container.ports.add(hostPort=port, containerPort=port, protocol="TCP")
    spec.schedulerName, spec.nodeName = "default-scheduler", node
    spec.terminationGracePeriodSeconds = 30
    spec.nodeSelector.update(node_selector or {})
    spec.tolerations.extend(tolerations)
    status.phase, status.podIP = phase, ip
    status.containerStatuses.add(name="main", restartCount=restarts)
    if ready is not None:
        condition = status.conditions.add(type="Ready", status=str(ready))
        if ready_since:
            condition.lastTransitionTime.seconds = ready_since
    return made


def node(
    name: str = "node-1",
    *,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[core_pb2.Taint] = (),
    unschedulable: bool = False,
    ready: str | None = "True",
    pod_cidr: str = "",
    **allocatable: str,
) -> core_pb2.Node:
    """Make a node with 4 cores, 8 GiB and room for 110 pods, unless told otherwise."""
    made = core_pb2.Node()
    made.metadata.name, made.metadata.uid = name, f"uid-of-{name}"
    made.metadata.labels.update(labels or {})
    made.spec.taints.extend(taints)
    made.spec.unschedulable, made.spec.podCIDR = unschedulable, pod_cidr
    for resource, amount in {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}.items():
        made.status.allocatable[resource].string = amount
    if ready is not None:
        made.status.conditions.add(type="Ready", status=ready)
    return made


def replication_controller(
    name: str = "web", *, namespace: str = "default", replicas: int = 1, labels: Mapping[str, str] | None = None
) -> core_pb2.ReplicationController:
    """Make a controller whose template carries what it selects."""
    made = core_pb2.ReplicationController()
    made.metadata.name, made.metadata.namespace, made.metadata.uid = name, namespace, f"uid-of-{name}"
    made.metadata.generation = 1
    made.spec.replicas = replicas
    made.spec.selector.update(labels or {"app": name})
    made.spec.template.metadata.labels.update(labels or {"app": name})
    made.spec.template.spec.containers.add(name="main", image="host")
    made.spec.template.spec.schedulerName = "default-scheduler"
    return made


def controlled_by(owner: core_pb2.ReplicationController) -> meta_pb2.OwnerReference:
    """Make the reference that a pod of this controller carries."""
    return meta_pb2.OwnerReference(
        apiVersion="v1",
        kind=scheme.REPLICATION_CONTROLLERS.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


def service(
    name: str = "web",
    *,
    namespace: str = "default",
    selector: Mapping[str, str] | None = None,
    port: int = 80,
    target: int | str = 8080,
    headless: bool = False,
) -> core_pb2.Service:
    """Make a service of one port."""
    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace, made.metadata.uid = name, namespace, f"uid-of-service-{name}"
    made.spec.selector.update(selector if selector is not None else {"app": name})
    made.spec.clusterIP = "None" if headless else "10.96.0.10"
    told = made.spec.ports.add(port=port, protocol="TCP")
    if isinstance(target, int):
        told.targetPort.intVal = target
    else:
        told.targetPort.type, told.targetPort.strVal = 1, target
    return made


def namespace(name: str) -> core_pb2.Namespace:
    """Make a namespace that is active."""
    made = core_pb2.Namespace()
    made.metadata.name, made.status.phase = name, "Active"
    return made


def taint(key: str, effect: str = "NoSchedule", value: str = "", added: int = 0) -> core_pb2.Taint:
    """Make a taint; ``added`` is wall time in seconds."""
    made = core_pb2.Taint(key=key, value=value, effect=effect)
    if added:
        made.timeAdded.seconds = added
    return made
