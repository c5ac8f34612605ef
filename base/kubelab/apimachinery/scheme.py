"""Every resource that the api-server serves: one registry, from which verbs, tables, discovery and manifests follow.

A :class:`Resource` is typed by its message, so ``client.get(PODS, "web")`` gives a ``Pod``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any as AnyValue
from typing import Generic, Protocol, TypeVar, cast

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2
from kubelab.api.apiextensions.v1 import apiextensions_pb2
from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.authorization.v1 import authorization_pb2
from kubelab.api.autoscaling.v1 import autoscaling_pb2 as autoscaling_v1_pb2
from kubelab.api.autoscaling.v2 import autoscaling_pb2
from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.certificates.v1 import certificates_pb2
from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import componentstatuses_pb2, core_pb2, limits_pb2, serviceaccounts_pb2
from kubelab.api.custom import custom_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.flowcontrol.v1 import flowcontrol_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.networking.v1 import networking_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2

T = TypeVar("T", bound=Message, covariant=True)
TYPE_URL_PREFIX = "type.googleapis.com/"
STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the server's table. Priority 0 is always shown, 1 with ``-o wide``."""

    name: str
    description: str = ""
    priority: int = 0
    type: str = "string"


class CustomSchema(Protocol):
    """What is known of the objects of a kind that is no message of the contract."""

    def prune(self, body: dict[str, AnyValue], /) -> list[str]:
        """Take away the fields that the kind does not have; gives their paths."""
        ...

    @property
    def has_status(self) -> bool:
        """Whether the status is a subresource."""
        ...

    @property
    def fields(self) -> AnyValue:
        """The types of fields, as :mod:`kubelab.apimachinery.fieldsets.types` has them."""
        ...

    @property
    def openapi(self) -> dict[str, AnyValue]:
        """The schema in OpenAPI's form."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Resource(Generic[T]):
    """The names, verbs and properties of a resource. It equals only itself, so that it is a fast dictionary key."""

    plural: str
    singular: str
    kind: str
    message: type[T]
    columns: tuple[Column, ...]
    group: str = ""
    version: str = "v1"
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = STANDARD_VERBS
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    list_kind: str = ""
    """The kind of a collection, where it is not the kind with ``List`` behind it."""
    custom: CustomSchema | None = None
    """Of a kind that a CustomResourceDefinition adds, where its schema is known."""

    def new(self) -> T:
        """Make an empty object."""
        obj = self.message()
        if isinstance(obj, custom_pb2.CustomObject):
            obj.apiVersion, obj.kind = self.api_version, self.kind
        return obj

    @property
    def api_version(self) -> str:
        """``v1``, or ``coordination.k8s.io/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition adds it, and its objects are messages of one type."""
        return issubclass(self.message, custom_pb2.CustomObject)

    @property
    def type_url(self) -> str:
        """The type URL of an ``Any`` that holds one of these."""
        return TYPE_URL_PREFIX + self.message.DESCRIPTOR.full_name

    @property
    def qualified(self) -> str:
        """``pods``, or ``leases.coordination.k8s.io``: how messages and ``-o name`` call it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def __str__(self) -> str:
        return self.qualified


NAME = Column("Name", "Name must be unique within a namespace")
AGE = Column("Age", "How long ago the object was created")
CREATED_AT = Column("Created At", "When the object was created", type="date")


def _columns(*columns: Column | str) -> tuple[Column, ...]:
    return (NAME, *(Column(c) if isinstance(c, str) else c for c in columns))


def _wide(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, priority=1) for name in names)


PODS = Resource(
    plural="pods",
    singular="pod",
    kind="Pod",
    message=core_pb2.Pod,
    columns=_columns("Ready", "Status", "Restarts", AGE, *_wide("IP", "Node", "Nominated Node", "Readiness Gates")),
    short_names=("po",),
    subresources=("status", "binding", "eviction"),
    categories=("all",),
)
NODES = Resource(
    plural="nodes",
    singular="node",
    kind="Node",
    message=core_pb2.Node,
    columns=_columns(
        "Status",
        "Roles",
        AGE,
        "Version",
        *_wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
    ),
    short_names=("no",),
    namespaced=False,
    subresources=("status",),
)
SERVICES = Resource(
    plural="services",
    singular="service",
    kind="Service",
    message=core_pb2.Service,
    columns=_columns("Type", "Cluster-IP", "External-IP", "Port(s)", AGE, *_wide("Selector")),
    short_names=("svc",),
    subresources=("status",),
    categories=("all",),
)
ENDPOINTS = Resource(
    plural="endpoints",
    singular="endpoints",
    kind="Endpoints",
    message=core_pb2.Endpoints,
    columns=_columns("Endpoints", AGE),
    short_names=("ep",),
)
NAMESPACES = Resource(
    plural="namespaces",
    singular="namespace",
    kind="Namespace",
    message=core_pb2.Namespace,
    columns=_columns("Status", AGE),
    short_names=("ns",),
    namespaced=False,
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=("status", "finalize"),
)
REPLICATION_CONTROLLERS = Resource(
    plural="replicationcontrollers",
    singular="replicationcontroller",
    kind="ReplicationController",
    message=core_pb2.ReplicationController,
    columns=_columns("Desired", "Current", "Ready", AGE, *_wide("Containers", "Images", "Selector")),
    short_names=("rc",),
    subresources=("status", "scale"),
    categories=("all",),
)
REPLICA_SETS = Resource(
    plural="replicasets",
    singular="replicaset",
    kind="ReplicaSet",
    message=apps_pb2.ReplicaSet,
    columns=_columns("Desired", "Current", "Ready", AGE, *_wide("Containers", "Images", "Selector")),
    group="apps",
    short_names=("rs",),
    subresources=("status", "scale"),
    categories=("all",),
)
DEPLOYMENTS = Resource(
    plural="deployments",
    singular="deployment",
    kind="Deployment",
    message=apps_pb2.Deployment,
    columns=_columns("Ready", "Up-to-date", "Available", AGE, *_wide("Containers", "Images", "Selector")),
    group="apps",
    short_names=("deploy",),
    subresources=("status", "scale"),
    categories=("all",),
)
EVENTS = Resource(
    plural="events",
    singular="event",
    kind="Event",
    message=core_pb2.Event,
    columns=(
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("Message"),
        Column("First Seen", priority=1),
        Column("Count", priority=1),
        Column("Name", priority=1),
    ),
    short_names=("ev",),
)
CONFIG_MAPS = Resource(
    plural="configmaps",
    singular="configmap",
    kind="ConfigMap",
    message=core_pb2.ConfigMap,
    columns=_columns("Data", AGE),
    short_names=("cm",),
)
SECRETS = Resource(
    plural="secrets",
    singular="secret",
    kind="Secret",
    message=core_pb2.Secret,
    columns=_columns("Type", "Data", AGE),
)
SERVICE_ACCOUNTS = Resource(
    plural="serviceaccounts",
    singular="serviceaccount",
    kind="ServiceAccount",
    message=serviceaccounts_pb2.ServiceAccount,
    columns=_columns("Secrets", AGE),
    short_names=("sa",),
    subresources=("token",),
)
LEASES = Resource(
    plural="leases",
    singular="lease",
    kind="Lease",
    message=coordination_pb2.Lease,
    columns=_columns("Holder", AGE),
    group="coordination.k8s.io",
)
LIMIT_RANGES = Resource(
    plural="limitranges",
    singular="limitrange",
    kind="LimitRange",
    message=limits_pb2.LimitRange,
    columns=_columns(CREATED_AT),
    short_names=("limits",),
)
RESOURCE_QUOTAS = Resource(
    plural="resourcequotas",
    singular="resourcequota",
    kind="ResourceQuota",
    message=limits_pb2.ResourceQuota,
    columns=_columns(
        Column("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
        Column("Limit", "Limits control the maximum amount of cpu/memory that a container may use"),
        AGE,
    ),
    short_names=("quota",),
    subresources=("status",),
)
ENDPOINT_SLICES = Resource(
    plural="endpointslices",
    singular="endpointslice",
    kind="EndpointSlice",
    message=discovery_pb2.EndpointSlice,
    columns=_columns("AddressType", "Ports", "Endpoints", AGE),
    group="discovery.k8s.io",
)
HORIZONTAL_POD_AUTOSCALERS = Resource(
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    kind="HorizontalPodAutoscaler",
    message=autoscaling_pb2.HorizontalPodAutoscaler,
    columns=_columns("Reference", "Targets", "MinPods", "MaxPods", "Replicas", AGE),
    group="autoscaling",
    version="v2",
    short_names=("hpa",),
    subresources=("status",),
    categories=("all",),
)
HORIZONTAL_POD_AUTOSCALERS_V1 = cast(
    "Resource[autoscaling_v1_pb2.HorizontalPodAutoscaler]",
    replace(
        cast("Resource[Message]", HORIZONTAL_POD_AUTOSCALERS),
        version="v1",
        message=autoscaling_v1_pb2.HorizontalPodAutoscaler,
    ),
)
NETWORK_POLICIES = Resource(
    plural="networkpolicies",
    singular="networkpolicy",
    kind="NetworkPolicy",
    message=networking_pb2.NetworkPolicy,
    columns=_columns("Pod-Selector", AGE),
    group="networking.k8s.io",
    short_names=("netpol",),
)
INGRESSES = Resource(
    plural="ingresses",
    singular="ingress",
    kind="Ingress",
    message=networking_pb2.Ingress,
    columns=_columns("Class", "Hosts", "Address", "Ports", AGE),
    group="networking.k8s.io",
    short_names=("ing",),
    subresources=("status",),
)
INGRESS_CLASSES = Resource(
    plural="ingressclasses",
    singular="ingressclass",
    kind="IngressClass",
    message=networking_pb2.IngressClass,
    columns=_columns("Controller", "Parameters", AGE),
    group="networking.k8s.io",
    namespaced=False,
)
COMPONENT_STATUSES = Resource(
    plural="componentstatuses",
    singular="componentstatus",
    kind="ComponentStatus",
    message=componentstatuses_pb2.ComponentStatus,
    columns=_columns("Status", "Message", "Error"),
    short_names=("cs",),
    namespaced=False,
    verbs=("get", "list"),
)
DAEMON_SETS = Resource(
    plural="daemonsets",
    singular="daemonset",
    kind="DaemonSet",
    message=apps_pb2.DaemonSet,
    columns=_columns(
        "Desired",
        "Current",
        "Ready",
        "Up-to-date",
        "Available",
        "Node Selector",
        AGE,
        *_wide("Containers", "Images", "Selector"),
    ),
    group="apps",
    short_names=("ds",),
    subresources=("status",),
    categories=("all",),
)
STATEFUL_SETS = Resource(
    plural="statefulsets",
    singular="statefulset",
    kind="StatefulSet",
    message=apps_pb2.StatefulSet,
    columns=_columns("Ready", AGE, *_wide("Containers", "Images")),
    group="apps",
    short_names=("sts",),
    subresources=("status", "scale"),
    categories=("all",),
)
CONTROLLER_REVISIONS = Resource(
    plural="controllerrevisions",
    singular="controllerrevision",
    kind="ControllerRevision",
    message=apps_pb2.ControllerRevision,
    columns=_columns("Controller", "Revision", AGE),
    group="apps",
)
JOBS = Resource(
    plural="jobs",
    singular="job",
    kind="Job",
    message=batch_pb2.Job,
    columns=_columns("Status", "Completions", "Duration", AGE, *_wide("Containers", "Images", "Selector")),
    group="batch",
    subresources=("status",),
    categories=("all",),
)
CRON_JOBS = Resource(
    plural="cronjobs",
    singular="cronjob",
    kind="CronJob",
    message=batch_pb2.CronJob,
    columns=_columns(
        "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", AGE, *_wide("Containers", "Images", "Selector")
    ),
    short_names=("cj",),
    group="batch",
    subresources=("status",),
    categories=("all",),
)
PRIORITY_CLASSES = Resource(
    plural="priorityclasses",
    singular="priorityclass",
    kind="PriorityClass",
    message=scheduling_pb2.PriorityClass,
    columns=_columns("Value", "Global-Default", AGE, "PreemptionPolicy"),
    group="scheduling.k8s.io",
    short_names=("pc",),
    namespaced=False,
)
_FLOW_CONTROL = "flowcontrol.apiserver.k8s.io"
FLOW_SCHEMAS = Resource(
    plural="flowschemas",
    singular="flowschema",
    kind="FlowSchema",
    message=flowcontrol_pb2.FlowSchema,
    columns=_columns("PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", AGE, "MissingPL"),
    group=_FLOW_CONTROL,
    namespaced=False,
    subresources=("status",),
)
PRIORITY_LEVEL_CONFIGURATIONS = Resource(
    plural="prioritylevelconfigurations",
    singular="prioritylevelconfiguration",
    kind="PriorityLevelConfiguration",
    message=flowcontrol_pb2.PriorityLevelConfiguration,
    columns=_columns("Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", AGE),
    group=_FLOW_CONTROL,
    namespaced=False,
    subresources=("status",),
)
POD_DISRUPTION_BUDGETS = Resource(
    plural="poddisruptionbudgets",
    singular="poddisruptionbudget",
    kind="PodDisruptionBudget",
    message=policy_pb2.PodDisruptionBudget,
    columns=_columns("Min Available", "Max Unavailable", "Allowed Disruptions", AGE),
    group="policy",
    short_names=("pdb",),
    subresources=("status",),
)
CERTIFICATE_SIGNING_REQUESTS = Resource(
    plural="certificatesigningrequests",
    singular="certificatesigningrequest",
    kind="CertificateSigningRequest",
    message=certificates_pb2.CertificateSigningRequest,
    columns=_columns(AGE, "SignerName", "Requestor", "RequestedDuration", "Condition"),
    group="certificates.k8s.io",
    short_names=("csr",),
    namespaced=False,
    subresources=("status", "approval"),
)
_RBAC = "rbac.authorization.k8s.io"
_BINDING_COLUMNS = _columns("Role", AGE, *_wide("Users", "Groups", "ServiceAccounts"))
CLUSTER_ROLE_BINDINGS = Resource(
    plural="clusterrolebindings",
    singular="clusterrolebinding",
    kind="ClusterRoleBinding",
    message=rbac_pb2.ClusterRoleBinding,
    columns=_BINDING_COLUMNS,
    group=_RBAC,
    namespaced=False,
)
CLUSTER_ROLES = Resource(
    plural="clusterroles",
    singular="clusterrole",
    kind="ClusterRole",
    message=rbac_pb2.ClusterRole,
    columns=_columns(CREATED_AT),
    group=_RBAC,
    namespaced=False,
)
ROLE_BINDINGS = Resource(
    plural="rolebindings",
    singular="rolebinding",
    kind="RoleBinding",
    message=rbac_pb2.RoleBinding,
    columns=_BINDING_COLUMNS,
    group=_RBAC,
)
ROLES = Resource(
    plural="roles",
    singular="role",
    kind="Role",
    message=rbac_pb2.Role,
    columns=_columns(CREATED_AT),
    group=_RBAC,
)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    kind="CustomResourceDefinition",
    message=apiextensions_pb2.CustomResourceDefinition,
    columns=_columns(CREATED_AT),
    group="apiextensions.k8s.io",
    short_names=("crd", "crds"),
    namespaced=False,
    subresources=("status",),
    categories=("api-extensions",),
)
_ADMISSION_REGISTRATION = "admissionregistration.k8s.io"
MUTATING_WEBHOOK_CONFIGURATIONS = Resource(
    plural="mutatingwebhookconfigurations",
    singular="mutatingwebhookconfiguration",
    kind="MutatingWebhookConfiguration",
    message=admissionregistration_pb2.MutatingWebhookConfiguration,
    columns=_columns("Webhooks", AGE),
    group=_ADMISSION_REGISTRATION,
    namespaced=False,
    categories=("api-extensions",),
)
VALIDATING_WEBHOOK_CONFIGURATIONS = Resource(
    plural="validatingwebhookconfigurations",
    singular="validatingwebhookconfiguration",
    kind="ValidatingWebhookConfiguration",
    message=admissionregistration_pb2.ValidatingWebhookConfiguration,
    columns=_columns("Webhooks", AGE),
    group=_ADMISSION_REGISTRATION,
    namespaced=False,
    categories=("api-extensions",),
)
VALIDATING_ADMISSION_POLICIES = Resource(
    plural="validatingadmissionpolicies",
    singular="validatingadmissionpolicy",
    kind="ValidatingAdmissionPolicy",
    message=admissionregistration_pb2.ValidatingAdmissionPolicy,
    columns=_columns("Validations", "ParamKind", AGE),
    group=_ADMISSION_REGISTRATION,
    namespaced=False,
    subresources=("status",),
    categories=("api-extensions",),
)
VALIDATING_ADMISSION_POLICY_BINDINGS = Resource(
    plural="validatingadmissionpolicybindings",
    singular="validatingadmissionpolicybinding",
    kind="ValidatingAdmissionPolicyBinding",
    message=admissionregistration_pb2.ValidatingAdmissionPolicyBinding,
    columns=_columns("PolicyName", "ParamRef", AGE),
    group=_ADMISSION_REGISTRATION,
    namespaced=False,
    categories=("api-extensions",),
)
BINDINGS = Resource(
    plural="bindings",
    singular="binding",
    kind="Binding",
    message=core_pb2.Binding,
    columns=(),
    verbs=("create",),
)


def _review(kind: str, message: type[T], group: str, *, namespaced: bool = False) -> Resource[T]:
    """A question that is answered when it is created, and not stored."""
    singular = kind.lower()
    return Resource(
        plural=f"{singular}s",
        singular=singular,
        kind=kind,
        message=message,
        columns=(),
        group=group,
        namespaced=namespaced,
        verbs=("create",),
    )


_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
SELF_SUBJECT_ACCESS_REVIEWS = _review(
    "SelfSubjectAccessReview", authorization_pb2.SelfSubjectAccessReview, _AUTHORIZATION
)
SELF_SUBJECT_RULES_REVIEWS = _review("SelfSubjectRulesReview", authorization_pb2.SelfSubjectRulesReview, _AUTHORIZATION)
SUBJECT_ACCESS_REVIEWS = _review("SubjectAccessReview", authorization_pb2.SubjectAccessReview, _AUTHORIZATION)
LOCAL_SUBJECT_ACCESS_REVIEWS = _review(
    "LocalSubjectAccessReview", authorization_pb2.LocalSubjectAccessReview, _AUTHORIZATION, namespaced=True
)
SELF_SUBJECT_REVIEWS = _review("SelfSubjectReview", authentication_pb2.SelfSubjectReview, _AUTHENTICATION)
TOKEN_REVIEWS = _review("TokenReview", authentication_pb2.TokenReview, _AUTHENTICATION)

ALL: tuple[Resource[Message], ...] = (
    BINDINGS,
    COMPONENT_STATUSES,
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    DEPLOYMENTS,
    REPLICA_SETS,
    DAEMON_SETS,
    STATEFUL_SETS,
    CONTROLLER_REVISIONS,
    LEASES,
    SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    JOBS,
    ENDPOINT_SLICES,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESS_CLASSES,
    INGRESSES,
    NETWORK_POLICIES,
    CRON_JOBS,
    CERTIFICATE_SIGNING_REQUESTS,
    POD_DISRUPTION_BUDGETS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    PRIORITY_CLASSES,
    FLOW_SCHEMAS,
    PRIORITY_LEVEL_CONFIGURATIONS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    CUSTOM_RESOURCE_DEFINITIONS,
)

OTHER_VERSIONS: Sequence[Resource[Message]] = (HORIZONTAL_POD_AUTOSCALERS_V1,)
"""Versions of kinds besides the one in ALL: manifests may have them, and the server shows its objects in them."""

_BY_KIND = {(r.api_version, r.kind): r for r in (*ALL, *OTHER_VERSIONS)}
_BY_PLURAL = {(r.group, r.plural): r for r in ALL}
_BY_MESSAGE = {r.message.DESCRIPTOR.full_name: r for r in (*ALL, *OTHER_VERSIONS)}


_LEARNED: dict[tuple[str, str], Resource[Message]] = {}  # by apiVersion and kind


def learn(resources: Iterable[meta_pb2.APIResource]) -> None:
    """Know from now on, in this process, the kinds of a server that are not of the contract, as discovery has them.
    Those that were learnt before are forgotten."""
    _LEARNED.clear()
    for found in resources:
        if _BY_PLURAL.get((found.group, found.name)) is not None:
            continue
        resource = Resource(
            plural=found.name,
            singular=found.singularName,
            kind=found.kind,
            message=cast("type[Message]", custom_pb2.CustomObject),
            columns=(NAME, AGE),
            group=found.group,
            version=found.version,
            short_names=tuple(found.shortNames),
            namespaced=found.namespaced,
            verbs=tuple(found.verbs),
            subresources=("scale", "status"),  # perhaps: the server knows
            categories=tuple(found.categories),
        )
        _LEARNED.setdefault((resource.api_version, resource.kind), resource)


def learn_one(resource: Resource[Message]) -> None:
    """Know one more kind from now on, in place of one that had its names."""
    _LEARNED[resource.api_version, resource.kind] = resource


def known() -> list[Resource[Message]]:
    """Give the kinds of the contract and those that were learnt."""
    return [*ALL, *_LEARNED.values()]


def every_version() -> list[Resource[Message]]:
    """Give the same in all their versions, the preferred ones first."""
    return [*known(), *OTHER_VERSIONS]


def by_kind(api_version: str, kind: str) -> Resource[Message] | None:
    """Find ``("v1", "Pod")``."""
    return _BY_KIND.get((api_version, kind)) or _LEARNED.get((api_version, kind))


def by_plural(group: str, plural: str) -> Resource[Message] | None:
    """Find ``("", "pods")``, as a request names it."""
    found = _BY_PLURAL.get((group, plural))
    if found is None and _LEARNED:
        found = next((r for r in _LEARNED.values() if r.group == group and r.plural == plural), None)
    return found


def of_object(obj: Message) -> Resource[Message]:
    """Find the resource of a message; KeyError when it is not one that is served, or of a kind that was not learnt."""
    if isinstance(obj, custom_pb2.CustomObject):
        return _LEARNED[obj.apiVersion, obj.kind]
    return _BY_MESSAGE[obj.DESCRIPTOR.full_name]


def by_type_url(url: str) -> Resource[Message] | None:
    """Find the resource that an ``Any`` carries."""
    name = url.removeprefix(TYPE_URL_PREFIX)
    if name == custom_pb2.CustomObject.DESCRIPTOR.full_name:  # any of them: they have one message
        return next(iter(_LEARNED.values()), None)
    return _BY_MESSAGE.get(name)


def find(word: str, among: Iterable[Resource[Message]] | None = None) -> Resource[Message] | None:
    """Find what a user means: plural, singular, kind or short name, in any case, alone or before ``.group`` or
    ``.version.group``."""
    name, _, place = word.lower().partition(".")
    for r in every_version() if among is None else among:
        names = (r.plural, r.singular, r.kind.lower(), *r.short_names)
        if name in names and place in ("", r.group, f"{r.version}.{r.group}"):
            return r
    return None


def pack(obj: Message) -> Any:
    """Wrap an object as requests carry it."""
    return Any(type_url=TYPE_URL_PREFIX + obj.DESCRIPTOR.full_name, value=obj.SerializeToString())
