"""The flow schemas and priority levels that every cluster begins with, with upstream's names and values
(https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#default-configuration).

The mandatory ones are what they are: another spec is refused, and a deletion is undone. The suggested ones follow this
table while their annotation ``apf.kubernetes.io/autoupdate-spec`` is ``true``; with ``false`` a change stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as pb
from kubelab.apimachinery.scheme import LEASES
from kubelab.auth import roles
from kubelab.auth.users import AUTHENTICATED, NODES, UNAUTHENTICATED

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
DANGLING = "Dangling"
EXEMPT, CATCH_ALL = "exempt", "catch-all"
_USER, _NAMESPACE = "ByUser", "ByNamespace"


def _exempt(name: str) -> pb.PriorityLevelConfiguration:
    made = pb.PriorityLevelConfiguration()
    made.metadata.name = name
    made.spec.type = "Exempt"
    made.spec.exempt.nominalConcurrencyShares = made.spec.exempt.lendablePercent = 0
    return made


def _level(name: str, shares: int, lendable: int, queues: int = 0, hand: int = 0) -> pb.PriorityLevelConfiguration:
    """A limited level; one without queues rejects what it has no seat for."""
    made = pb.PriorityLevelConfiguration()
    made.metadata.name = name
    made.spec.type = "Limited"
    limited = made.spec.limited
    limited.nominalConcurrencyShares, limited.lendablePercent = shares, lendable
    limited.limitResponse.type = "Queue" if queues else "Reject"
    if queues:
        limited.limitResponse.queuing.queues, limited.limitResponse.queuing.handSize = queues, hand
        limited.limitResponse.queuing.queueLengthLimit = 50
    return made


def _groups(*names: str) -> list[pb.Subject]:
    return [pb.Subject(kind="Group", group=pb.GroupSubject(name=name)) for name in names]


def _users(*names: str) -> list[pb.Subject]:
    return [pb.Subject(kind="User", user=pb.UserSubject(name=name)) for name in names]


def _system_accounts(*names: str) -> list[pb.Subject]:
    namespace = "kube-system"
    return [
        pb.Subject(kind="ServiceAccount", serviceAccount=pb.ServiceAccountSubject(namespace=namespace, name=name))
        for name in names
    ]


def _rule(
    verbs: Sequence[str], group: str, resources: Sequence[str], *, cluster: bool = False
) -> pb.ResourcePolicyRule:
    """A rule about resources in every namespace, and of the cluster."""
    return pb.ResourcePolicyRule(
        verbs=verbs, apiGroups=[group], resources=resources, namespaces=["*"], clusterScope=cluster
    )


_EVERYTHING = _rule(["*"], "*", ["*"], cluster=True)
_EVERY_PATH = pb.NonResourcePolicyRule(verbs=["*"], nonResourceURLs=["*"])
_ELECTION = ["get", "create", "update"]
_LEASE_ELECTION = _rule(_ELECTION, LEASES.group, [LEASES.plural])


def _schema(
    name: str,
    level: str,
    precedence: int,
    method: str,
    subjects: Sequence[pb.Subject],
    rules: Sequence[pb.ResourcePolicyRule] = (_EVERYTHING,),
    paths: Sequence[pb.NonResourcePolicyRule] = (_EVERY_PATH,),
) -> pb.FlowSchema:
    made = pb.FlowSchema()
    made.metadata.name = name
    made.spec.priorityLevelConfiguration.name, made.spec.matchingPrecedence = level, precedence
    if method:
        made.spec.distinguisherMethod.type = method
    made.spec.rules.add(subjects=subjects, resourceRules=rules, nonResourceRules=paths)
    return made


def _by_name(objects: Iterable[pb.PriorityLevelConfiguration]) -> Mapping[str, pb.PriorityLevelConfiguration]:
    return {one.metadata.name: one for one in objects}


def _schemas_by_name(objects: Iterable[pb.FlowSchema]) -> Mapping[str, pb.FlowSchema]:
    return {one.metadata.name: one for one in objects}


MANDATORY_LEVELS = _by_name((_exempt(EXEMPT), _level(CATCH_ALL, 5, 0)))
MANDATORY_SCHEMAS = _schemas_by_name(
    (
        _schema(EXEMPT, EXEMPT, 1, "", _groups(roles.MASTERS)),
        _schema(CATCH_ALL, CATCH_ALL, 10_000, _USER, _groups(UNAUTHENTICATED, AUTHENTICATED)),
    )
)
SUGGESTED_LEVELS = _by_name(
    (
        _level("system", 30, 33, 64, 6),
        _level("node-high", 40, 25, 64, 6),
        _level("leader-election", 10, 0, 16, 4),
        _level("workload-high", 40, 50, 128, 6),
        _level("workload-low", 100, 90, 128, 6),
        _level("global-default", 20, 50, 128, 6),
    )
)
SUGGESTED_SCHEMAS = _schemas_by_name(
    (
        _schema(
            "probes",
            EXEMPT,
            2,
            "",
            _groups(UNAUTHENTICATED, AUTHENTICATED),
            (),
            (pb.NonResourcePolicyRule(verbs=["get"], nonResourceURLs=["/healthz", "/readyz", "/livez"]),),
        ),
        _schema(
            "system-leader-election",
            "leader-election",
            100,
            _USER,
            [*_users(roles.CONTROLLER_MANAGER, roles.SCHEDULER), *_system_accounts("*")],
            (_LEASE_ELECTION,),
            (),
        ),
        _schema(
            "endpoint-controller",
            "workload-high",
            150,
            _USER,
            [
                *_users(roles.CONTROLLER_MANAGER),
                *_system_accounts("endpoint-controller", "endpointslicemirroring-controller"),
            ],
            (_rule(_ELECTION, "", ["endpoints"]),),
            (),
        ),
        _schema(
            "workload-leader-election",
            "leader-election",
            200,
            _USER,
            _system_accounts("*"),
            (_rule(_ELECTION, "", ["endpoints", "configmaps"]), _LEASE_ELECTION),
            (),
        ),
        _schema(
            "system-node-high",
            "node-high",
            400,
            _USER,
            _groups(NODES),
            (_rule(["*"], "", ["nodes", "nodes/status"], cluster=True), _rule(["*"], LEASES.group, [LEASES.plural])),
            (),
        ),
        _schema("system-nodes", "system", 500, _USER, _groups(NODES)),
        # Not upstream's, where kube-proxy is a service account of kube-system, and so in workload-high too.
        _schema("kube-proxy", "workload-high", 800, _USER, _users(roles.KUBE_PROXY)),
        _schema("kube-controller-manager", "workload-high", 800, _NAMESPACE, _users(roles.CONTROLLER_MANAGER)),
        _schema("kube-scheduler", "workload-high", 800, _NAMESPACE, _users(roles.SCHEDULER)),
        _schema("kube-system-service-accounts", "workload-high", 900, _NAMESPACE, _system_accounts("*")),
        _schema("service-accounts", "workload-low", 9000, _USER, _groups("system:serviceaccounts")),
        _schema("global-default", "global-default", 9900, _USER, _groups(UNAUTHENTICATED, AUTHENTICATED)),
    )
)
LEVELS: Mapping[str, pb.PriorityLevelConfiguration] = {**MANDATORY_LEVELS, **SUGGESTED_LEVELS}
SCHEMAS: Mapping[str, pb.FlowSchema] = {**MANDATORY_SCHEMAS, **SUGGESTED_SCHEMAS}
