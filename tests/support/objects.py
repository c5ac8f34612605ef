"""Small makers of objects for tests: what a test does not care about has a harmless default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import intstr, scheme
from kubelab.apimachinery.meta import new_controller_ref


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
    obj = core_pb2.Pod()
    meta, spec, status = obj.metadata, obj.spec, obj.status
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
    return obj


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
    """Make a node with 4 cores, 8 GiB and room for 110 pods, by default, and with the label of its host name."""
    obj = core_pb2.Node()
    obj.metadata.name, obj.metadata.uid = name, f"uid-of-{name}"
    obj.metadata.labels.update({"kubernetes.io/hostname": name, **(labels or {})})
    obj.spec.taints.extend(taints)
    obj.spec.unschedulable, obj.spec.podCIDR = unschedulable, pod_cidr
    for resource, amount in {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}.items():
        obj.status.allocatable[resource].string = amount
    if ready is not None:
        obj.status.conditions.add(type="Ready", status=ready)
    return obj


def replication_controller(
    name: str = "web", *, namespace: str = "default", replicas: int = 1, labels: Mapping[str, str] | None = None
) -> core_pb2.ReplicationController:
    """Make a controller whose template carries what it selects."""
    obj = core_pb2.ReplicationController()
    obj.metadata.name, obj.metadata.namespace, obj.metadata.uid = name, namespace, f"uid-of-{name}"
    obj.metadata.generation = 1
    obj.spec.replicas = replicas
    obj.spec.selector.update(labels or {"app": name})
    obj.spec.template.metadata.labels.update(labels or {"app": name})
    obj.spec.template.spec.containers.add(name="main", image="host")
    obj.spec.template.spec.schedulerName = "default-scheduler"
    return obj


def replica_set(
    name: str = "web", *, namespace: str = "default", replicas: int = 1, labels: Mapping[str, str] | None = None
) -> apps_pb2.ReplicaSet:
    """Make a ReplicaSet whose template carries what it selects."""
    obj = apps_pb2.ReplicaSet()
    obj.metadata.name, obj.metadata.namespace, obj.metadata.uid = name, namespace, f"uid-of-{name}"
    obj.metadata.generation = 1
    obj.spec.replicas = replicas
    obj.spec.selector.matchLabels.update(labels or {"app": name})
    obj.spec.template.metadata.labels.update(labels or {"app": name})
    obj.spec.template.spec.containers.add(name="main", image="host")
    obj.spec.template.spec.schedulerName = "default-scheduler"
    return obj


def deployment(
    name: str = "web",
    *,
    namespace: str = "default",
    replicas: int = 1,
    image: str = "host:1",
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    recreate: bool = False,
) -> apps_pb2.Deployment:
    """Make a Deployment of ``app=NAME`` with the defaults of the api-server."""
    obj = apps_pb2.Deployment()
    obj.metadata.name, obj.metadata.namespace, obj.metadata.uid = name, namespace, f"uid-of-{name}"
    obj.metadata.generation = 1
    obj.spec.replicas, obj.spec.revisionHistoryLimit, obj.spec.progressDeadlineSeconds = replicas, 10, 600
    obj.spec.selector.matchLabels["app"] = name
    obj.spec.strategy.type = "Recreate" if recreate else "RollingUpdate"
    if not recreate:
        rolling = obj.spec.strategy.rollingUpdate
        for field, value in ((rolling.maxSurge, surge), (rolling.maxUnavailable, unavailable)):
            field.CopyFrom(intstr.from_int(value) if isinstance(value, int) else intstr.from_string(value))
    obj.spec.template.metadata.labels["app"] = name
    obj.spec.template.spec.containers.add(name="main", image=image)
    return obj


def controlled_by(
    owner: core_pb2.ReplicationController | apps_pb2.ReplicaSet | apps_pb2.Deployment,
) -> meta_pb2.OwnerReference:
    """Make the reference that an object of this controller carries."""
    return new_controller_ref(owner, scheme.of_object(owner))


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
    obj = core_pb2.Service()
    obj.metadata.name, obj.metadata.namespace, obj.metadata.uid = name, namespace, f"uid-of-service-{name}"
    obj.spec.selector.update(selector if selector is not None else {"app": name})
    obj.spec.clusterIP = "None" if headless else "10.96.0.10"
    service_port = obj.spec.ports.add(port=port, protocol="TCP")
    if isinstance(target, int):
        service_port.targetPort.intVal = target
    else:
        service_port.targetPort.type, service_port.targetPort.strVal = 1, target
    return obj


def namespace(name: str) -> core_pb2.Namespace:
    """Make a namespace that is active."""
    obj = core_pb2.Namespace()
    obj.metadata.name, obj.status.phase = name, "Active"
    return obj


def taint(key: str, effect: str = "NoSchedule", value: str = "", added: int = 0) -> core_pb2.Taint:
    """Make a taint; ``added`` is wall time in seconds."""
    obj = core_pb2.Taint(key=key, value=value, effect=effect)
    if added:
        obj.timeAdded.seconds = added
    return obj
