"""The reads of ``kctl describe`` for each resource, and the function that writes it. A resource without one is shown
field by field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.autoscaling.v2 import autoscaling_pb2
from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.certificates.v1 import certificates_pb2
from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2, limits_pb2, serviceaccounts_pb2
from kubelab.api.networking.v1 import networking_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.core.pods import ACTIVE_PODS
from kubelab.apimachinery.errors import ApiError, BadRequest, NotFound
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESSES,
    JOBS,
    LEASES,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from kubelab.client.client import Client
from kubelab.kctl.describe import (
    autoscalers,
    deployments,
    limits,
    networking,
    nodes,
    others,
    pods,
    policies,
    rbac,
    serviceaccounts,
    services,
    workloads,
)
from kubelab.kctl.replicasets import replica_sets_of

LEASE_NAMESPACE = "kube-node-lease"
_Events = Sequence[core_pb2.Event] | None


@dataclass(frozen=True, slots=True)
class Context:
    """The client and clock of a describer. ``now`` is in seconds since the epoch."""

    client: Client
    resource: Resource[Message]
    show_events: bool
    now: float

    async def events(self, obj: Message) -> _Events:
        """Find what happened to the object; None where events are not to be shown."""
        if not self.show_events:
            return None
        m = meta_of(obj)
        about = {"involvedObject.name": m.name, "involvedObject.namespace": m.namespace}
        about["involvedObject.kind"] = self.resource.kind
        # A kubelet's events have the node's name as its uid.
        uids = [m.uid] + ([m.name] if self.resource is NODES else [])
        by_uid: dict[str, core_pb2.Event] = {}
        for uid in dict.fromkeys(uids):
            chosen = {**about, "involvedObject.uid": uid} if uid else about
            selector = ",".join(f"{key}={value}" for key, value in chosen.items())
            listed = await self.client.list(EVENTS, m.namespace, field_selector=selector)
            by_uid.update({f"{e.metadata.namespace}/{e.metadata.name}": e for e in listed.items})
        return list(by_uid.values())


async def describe(context: Context, obj: Message) -> str:
    """Describe one object with all that belongs to it."""
    return await DESCRIBERS.get(context.resource, _generic)(context, obj)


async def _generic(context: Context, obj: Message) -> str:
    return others.generic(obj, await context.events(obj), context.now)


async def _namespace(context: Context, obj: core_pb2.Namespace) -> str:
    quotas = await context.client.list(RESOURCE_QUOTAS, obj.metadata.name)
    ranges = await context.client.list(LIMIT_RANGES, obj.metadata.name)
    return others.namespace(obj, quotas.items, ranges.items)


async def _resource_quota(context: Context, obj: limits_pb2.ResourceQuota) -> str:
    del context
    return limits.resource_quota(obj)


async def _limit_range(context: Context, obj: limits_pb2.LimitRange) -> str:
    del context
    return limits.limit_range(obj)


async def _secret(context: Context, obj: core_pb2.Secret) -> str:
    del context
    return others.secret(obj)


async def _config_map(context: Context, obj: core_pb2.ConfigMap) -> str:
    return others.config_map(obj, await context.events(obj), context.now)


async def _pod(context: Context, obj: core_pb2.Pod) -> str:
    return pods.describe(obj, await context.events(obj), context.now)


async def _node(context: Context, obj: core_pb2.Node) -> str:
    events = await context.events(obj)
    name = obj.metadata.name
    lease: coordination_pb2.Lease | str
    try:
        lease = await context.client.get(LEASES, name, LEASE_NAMESPACE)
    except ApiError as err:
        lease = err.message
    running = await context.client.list(PODS, field_selector=f"spec.nodeName={name},{ACTIVE_PODS}")
    return nodes.describe(obj, lease, running.items, events, context.now)


async def _service(context: Context, obj: core_pb2.Service) -> str:
    events = await context.events(obj)
    endpoints: core_pb2.Endpoints | None
    try:
        endpoints = await context.client.get(ENDPOINTS, obj.metadata.name, obj.metadata.namespace)
    except NotFound:
        endpoints = None
    return services.describe(obj, endpoints, events, context.now)


async def _endpoints(context: Context, obj: core_pb2.Endpoints) -> str:
    return services.describe_endpoints(obj, await context.events(obj), context.now)


async def _ingress(context: Context, obj: networking_pb2.Ingress) -> str:
    namespace = obj.metadata.namespace
    found: dict[str, str] = {}

    async def look_up(backend: networking_pb2.IngressServiceBackend) -> None:
        try:
            service = await context.client.get(SERVICES, backend.name, namespace)
            endpoints = await context.client.get(ENDPOINTS, backend.name, namespace)
        except ApiError as err:
            found[networking.backend_name(backend)] = f"<error: {err.message}>"
            return
        wanted = (backend.port.number, backend.port.name)
        name = next((port.name for port in service.spec.ports if port.port == wanted[0] or port.name == wanted[1]), "")
        found[networking.backend_name(backend)] = services.endpoints_of(endpoints, name)

    backends = [path.backend for rule in obj.spec.rules for path in rule.ingressRuleValue.http.paths]
    for backend in (obj.spec.defaultBackend, *backends):
        if backend.HasField("service"):
            await look_up(backend.service)
    events = await context.events(obj)
    return networking.ingress(obj, lambda backend: found[networking.backend_name(backend)], events, context.now)


async def _autoscaler(context: Context, obj: autoscaling_pb2.HorizontalPodAutoscaler) -> str:
    return autoscalers.describe(obj, await context.events(obj), context.now)


async def _network_policy(context: Context, obj: networking_pb2.NetworkPolicy) -> str:
    del context
    return networking.network_policy(obj)


async def _service_account(context: Context, obj: serviceaccounts_pb2.ServiceAccount) -> str:
    secrets = await context.client.list(SECRETS, obj.metadata.namespace)
    return serviceaccounts.describe(obj, secrets.items, await context.events(obj), context.now)


async def _daemon_set(context: Context, obj: apps_pb2.DaemonSet) -> str:
    selected = await _selected(context.client, obj.metadata.namespace, labelselectors.text(obj.spec.selector))
    return workloads.daemon_set(obj, selected, await context.events(obj), context.now)


async def _stateful_set(context: Context, obj: apps_pb2.StatefulSet) -> str:
    selected = await _selected(context.client, obj.metadata.namespace, labelselectors.text(obj.spec.selector))
    return workloads.stateful_set(obj, selected, await context.events(obj), context.now)


async def _cron_job(context: Context, obj: batch_pb2.CronJob) -> str:
    return workloads.cron_job(obj, await context.events(obj), context.now)


async def _job(context: Context, obj: batch_pb2.Job) -> str:
    return workloads.job(obj, await context.events(obj), context.now)


async def _deployment(context: Context, obj: apps_pb2.Deployment) -> str:
    replica_sets = await replica_sets_of(context.client, obj)
    return deployments.deployment(obj, replica_sets, await context.events(obj), context.now)


async def _replica_set(context: Context, obj: apps_pb2.ReplicaSet) -> str:
    selected = await _selected(context.client, obj.metadata.namespace, labelselectors.text(obj.spec.selector))
    return deployments.replica_set(obj, selected, await context.events(obj), context.now)


async def _replication_controller(context: Context, obj: core_pb2.ReplicationController) -> str:
    selector = ",".join(f"{key}={value}" for key, value in sorted(obj.spec.selector.items()))
    selected = await _selected(context.client, obj.metadata.namespace, selector)
    return deployments.replication_controller(obj, selected, await context.events(obj), context.now)


async def _selected(client: Client, namespace: str, selector: str) -> Sequence[core_pb2.Pod]:
    try:
        return (await client.list(PODS, namespace, label_selector=selector)).items if selector else []
    except BadRequest:  # labels that no pod can have, from before they were refused
        return []


async def _signing_request(context: Context, obj: certificates_pb2.CertificateSigningRequest) -> str:
    from kubelab.kctl.describe import certificates  # with the library that reads requests, which is heavy

    return certificates.signing_request(obj, await context.events(obj), context.now)


async def _priority_class(context: Context, obj: scheduling_pb2.PriorityClass) -> str:
    return policies.priority_class(obj, await context.events(obj), context.now)


async def _disruption_budget(context: Context, obj: policy_pb2.PodDisruptionBudget) -> str:
    return policies.disruption_budget(obj, await context.events(obj), context.now)


async def _role(context: Context, obj: rbac_pb2.Role | rbac_pb2.ClusterRole) -> str:
    del context
    return rbac.role(obj)


async def _binding(context: Context, obj: rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding) -> str:
    del context
    return rbac.binding(obj)


DESCRIBERS: Mapping[Resource[Message], Callable[[Context, Any], Awaitable[str]]] = {
    CERTIFICATE_SIGNING_REQUESTS: _signing_request,
    CLUSTER_ROLE_BINDINGS: _binding,
    CLUSTER_ROLES: _role,
    CONFIG_MAPS: _config_map,
    DEPLOYMENTS: _deployment,
    ENDPOINTS: _endpoints,
    HORIZONTAL_POD_AUTOSCALERS: _autoscaler,
    INGRESSES: _ingress,
    LIMIT_RANGES: _limit_range,
    CRON_JOBS: _cron_job,
    DAEMON_SETS: _daemon_set,
    STATEFUL_SETS: _stateful_set,
    JOBS: _job,
    NAMESPACES: _namespace,
    NETWORK_POLICIES: _network_policy,
    NODES: _node,
    PODS: _pod,
    REPLICA_SETS: _replica_set,
    POD_DISRUPTION_BUDGETS: _disruption_budget,
    PRIORITY_CLASSES: _priority_class,
    REPLICATION_CONTROLLERS: _replication_controller,
    RESOURCE_QUOTAS: _resource_quota,
    ROLE_BINDINGS: _binding,
    ROLES: _role,
    SECRETS: _secret,
    SERVICE_ACCOUNTS: _service_account,
    SERVICES: _service,
}
