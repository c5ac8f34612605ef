"""The default roles and bindings: what a cluster gets when an api-server starts, whatever it has already."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.rbac.reconciliation import AUTOUPDATE
from kubelab.apimachinery.rbac.rules import rules_of
from kubelab.apimachinery.scheme import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from kubelab.apiserver.authz.rbac.bootstrap import BootstrapRoles, seeds
from kubelab.apiserver.authz.rbac.defaults.controllerroles import CONTROLLER_ROLES, PREFIX, RUNNING
from kubelab.apiserver.authz.rbac.defaults.objects import default_objects
from kubelab.apiserver.resources.table import builtin
from kubelab.controllermanager.descriptors import DESCRIPTORS
from tests.support.apiserver import ApiServerInMemory
from tests.unit.apiserver.rbac.support import rule, user

UPSTREAM = {  # cluster roles of Kubernetes 1.32, controllers aside
    *("admin", "cluster-admin", "edit", "view"),
    *(f"system:aggregate-to-{name}" for name in ("admin", "edit", "view")),
    *("system:auth-delegator", "system:basic-user", "system:discovery", "system:heapster", "system:kube-aggregator"),
    *("system:kube-controller-manager", "system:kube-dns", "system:kube-scheduler", "system:kubelet-api-admin"),
    *("system:monitoring", "system:node", "system:node-bootstrapper", "system:node-problem-detector"),
    *("system:node-proxier", "system:persistent-volume-provisioner", "system:public-info-viewer"),
    *("system:service-account-issuer-discovery", "system:volume-scheduler"),
    *(f"system:certificates.k8s.io:certificatesigningrequests:{name}" for name in ("nodeclient", "selfnodeclient")),
    *(
        f"system:certificates.k8s.io:{name}-approver"
        for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    ),
}
CONTROLLERS = {  # kubelab's controllers, by upstream's names of their roles
    "replicationcontroller": "replication-controller",
    "replicaset": "replicaset-controller",
    "deployment": "deployment-controller",
    "daemonset": "daemon-set-controller",
    "statefulset": "statefulset-controller",
    "cronjob": "cronjob-controller",
    "job": "job-controller",
    "ttlafterfinished": "ttl-after-finished-controller",
    "endpoints": "endpoint-controller",
    "endpointslice": "endpointslice-controller",
    "endpointslicemirroring": "endpointslicemirroring-controller",
    "namespace": "namespace-controller",
    "nodelifecycle": "node-controller",
    "tainteviction": "node-controller",
    "nodeipam": "node-controller",
    "garbagecollector": "generic-garbage-collector",
    "podgc": "pod-garbage-collector",
    "disruption": "disruption-controller",
    "horizontalpodautoscaler": "horizontal-pod-autoscaler",
    "clusterroleaggregation": "clusterrole-aggregation-controller",
    "serviceaccount": "service-account-controller",
    "rootcacertpublisher": "root-ca-cert-publisher",
    "resourcequota": "resourcequota-controller",
    "csrsigning": "certificate-controller",
    "csrapproving": "certificate-controller",
    "csrcleaner": "certificate-controller",
}


async def prepared(server: ApiServerInMemory) -> None:
    await BootstrapRoles(server.api.writer, server.api.reflector, server.api.caches).prepare()


@pytest.fixture
async def server() -> ApiServerInMemory:
    made = ApiServerInMemory()
    await prepared(made)
    return made


async def test_a_new_cluster_has_upstreams_roles(server: ApiServerInMemory) -> None:
    names = {one.metadata.name for one in server.objects(CLUSTER_ROLES)}
    assert {name for name in names if not name.startswith(PREFIX)} == UPSTREAM
    assert {name for name in names if name.startswith(PREFIX)} == {PREFIX + name for name in CONTROLLER_ROLES}
    for one in (*server.objects(CLUSTER_ROLES), *server.objects(CLUSTER_ROLE_BINDINGS), *server.objects(ROLES)):
        assert one.metadata.labels["kubernetes.io/bootstrapping"] == "rbac-defaults"
        assert one.metadata.annotations[AUTOUPDATE] == "true"
    uids = [meta_of(one).uid for one in (*server.objects(CLUSTER_ROLES), *server.objects(CLUSTER_ROLE_BINDINGS))]
    assert len(set(uids)) == len(uids)


def test_every_default_object_is_one_that_a_user_could_store() -> None:
    strategies = {storage.resource: storage.strategy for storage in builtin()}
    for one in seeds():
        assert strategies[scheme.of_object(one)].validate(one) == [], meta_of(one).name
    keys = Counter((type(one), meta_of(one).namespace, meta_of(one).name) for one in default_objects())
    assert set(keys.values()) == {1}


def test_every_binding_gives_a_role_that_is_there() -> None:
    there = {(type(one).__name__, meta_of(one).namespace, meta_of(one).name) for one in default_objects()}
    for one in default_objects():
        if isinstance(one, rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding):
            namespace = one.metadata.namespace if one.roleRef.kind == "Role" else ""
            assert (one.roleRef.kind, namespace, one.roleRef.name) in there, one.metadata.name


def test_the_controller_manager_has_the_roles_of_the_controllers_that_it_runs() -> None:
    assert {descriptor.name for descriptor in DESCRIPTORS} == set(CONTROLLERS), "name the role of each controller"
    assert set(CONTROLLERS.values()) == RUNNING


async def test_aggregated_roles_hold_their_parts_from_the_start(server: ApiServerInMemory) -> None:
    def rules(name: str) -> set[object]:
        role = server.get(CLUSTER_ROLES, name)
        assert role is not None
        return set(rules_of(role.rules))

    assert rules("view") == rules("system:aggregate-to-view")
    assert rules("edit") == rules("view") | rules("system:aggregate-to-edit")
    assert rules("admin") == rules("edit") | rules("system:aggregate-to-admin")


async def test_what_is_missing_or_was_taken_away_comes_back_at_a_start(server: ApiServerInMemory) -> None:
    server.remove(CLUSTER_ROLES, "view")
    server.remove(CLUSTER_ROLE_BINDINGS, "cluster-admin")
    discovery, bound = server.get(CLUSTER_ROLES, "system:discovery"), server.get(ROLE_BINDINGS, LOCK)
    assert discovery is not None
    assert bound is not None
    wanted = list(discovery.rules)
    del discovery.rules[:]
    discovery.metadata.labels.clear()
    del bound.subjects[:]
    bound.subjects.append(user("jane"))
    server.add(discovery, bound)
    await prepared(server)
    assert server.get(CLUSTER_ROLES, "view")
    assert server.get(CLUSTER_ROLE_BINDINGS, "cluster-admin")
    discovery, bound = server.get(CLUSTER_ROLES, "system:discovery"), server.get(ROLE_BINDINGS, LOCK)
    assert discovery is not None
    assert bound is not None
    assert {path for one in discovery.rules for path in one.nonResourceURLs} == set(wanted[0].nonResourceURLs)
    assert discovery.metadata.labels["kubernetes.io/bootstrapping"] == "rbac-defaults"
    assert [one.name for one in bound.subjects] == ["jane", "system:kube-scheduler", "kube-scheduler"]


LOCK = "kube-system/system::leader-locking-kube-scheduler"


async def test_what_was_added_stays(server: ApiServerInMemory) -> None:
    role = server.get(CLUSTER_ROLES, "system:node-proxier")
    assert role is not None
    role.rules.add(verbs=["get"], apiGroups=[""], resources=["pods"])
    server.add(role)
    before = server.revision
    await prepared(server)
    assert server.revision == before


async def test_a_binding_to_another_role_is_made_anew(server: ApiServerInMemory) -> None:
    binding = server.get(CLUSTER_ROLE_BINDINGS, "system:node-proxier")
    assert binding is not None
    uid, binding.roleRef.name = binding.metadata.uid, "cluster-admin"
    server.add(binding)
    await prepared(server)
    binding = server.get(CLUSTER_ROLE_BINDINGS, "system:node-proxier")
    assert binding is not None
    assert binding.roleRef.name == "system:node-proxier"
    assert binding.metadata.uid != uid


async def test_what_is_not_to_be_updated_stays_as_it_is(server: ApiServerInMemory) -> None:
    role = server.get(CLUSTER_ROLES, "system:basic-user")
    assert role is not None
    del role.rules[:]
    role.metadata.annotations[AUTOUPDATE] = "false"
    server.add(role)
    await prepared(server)
    role = server.get(CLUSTER_ROLES, "system:basic-user")
    assert role is not None
    assert not role.rules


async def test_several_api_servers_start_at_once() -> None:
    server = ApiServerInMemory()
    server.add(*(one for one in seeds() if meta_of(one).name == "cluster-admin"))  # one was faster with these
    kept = server.get(CLUSTER_ROLES, "cluster-admin")
    await asyncio.gather(*(prepared(server) for _ in range(3)))
    assert server.get(CLUSTER_ROLES, "cluster-admin") == kept
    stored = sum(len(server.objects(one)) for one in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS))
    assert stored == len(default_objects())


async def test_an_aggregated_role_keeps_what_the_controller_wrote(server: ApiServerInMemory) -> None:
    view = server.get(CLUSTER_ROLES, "view")
    assert view is not None
    del view.rules[:]
    view.rules.add(verbs=["get"], apiGroups=["example.com"], resources=["foos"])
    server.add(view)
    await prepared(server)
    view = server.get(CLUSTER_ROLES, "view")
    assert view is not None
    assert list(rules_of(view.rules)) == [rule("get", "foos", "example.com")]
