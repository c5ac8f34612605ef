"""Nobody gives by a role or a binding what they do not have."""

from __future__ import annotations

import pytest

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from tests.support.apiserver import ApiServerInMemory
from tests.unit.apiserver.rbac.support import (
    acting_as,
    binding,
    cluster_binding,
    cluster_role,
    paths,
    role,
    rule,
    user,
)

NOT_HELD = 'user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
async def server() -> ApiServerInMemory:
    """Jane is admin of ``default``, and may write cluster roles and their bindings."""
    made = ApiServerInMemory()
    made.add_default_roles()
    writes = rule("create update patch get", "clusterroles clusterrolebindings", RBAC)
    made.add(
        binding("admins", "admin", user("jane"), kind="ClusterRole"),
        cluster_role("writer", writes),
        cluster_binding("writers", "writer", user("jane")),
    )
    return made


async def refused(server: ApiServerInMemory, obj: object, namespace: str = "default") -> str:
    with pytest.raises(errors.Forbidden) as told:
        await acting_as(server, "jane").create(obj, namespace)  # pyright: ignore[reportArgumentType]
    return told.value.message


async def test_a_role_gives_what_its_author_has(server: ApiServerInMemory) -> None:
    jane = acting_as(server, "jane")
    made = await jane.create(role("reader", rule("get list", "pods secrets"), rule("create", "jobs", "batch")))
    assert await refused(server, role("more", rule("get list", "pods nodes"), rule("delete", "nodes"))) == (
        f'roles.{RBAC} "more" is forbidden: {NOT_HELD}'
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list" "delete"]}'
    )
    assert await refused(server, cluster_role("r", paths("get", "/metrics"), rule("get", "pods", names="a")), "") == (
        f'clusterroles.{RBAC} "r" is forbidden: {NOT_HELD}'
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}\n'
        '{NonResourceURLs:["/metrics"], Verbs:["get"]}'
    )
    changed = deep_copy(made)
    changed.rules.add(verbs=["*"], apiGroups=["*"], resources=["*"])
    with pytest.raises(errors.Forbidden, match="is attempting to grant RBAC permissions not currently held"):
        await jane.update(changed)


async def test_who_may_escalate_writes_any_role(server: ApiServerInMemory) -> None:
    server.add(role("escalator", rule("escalate", "roles", RBAC, "known")), binding("e", "escalator", user("jane")))
    server.add(role("known", rule("get", "pods")))
    jane = acting_as(server, "jane")
    known = await jane.get(ROLES, "known", "default")
    known.rules.add(verbs=["*"], apiGroups=["*"], resources=["*"])
    await jane.update(known)
    await refused(server, role("unknown", rule("*", "*", "*")))


async def test_a_binding_gives_what_its_author_has(server: ApiServerInMemory) -> None:
    jane = acting_as(server, "jane")
    await jane.create(binding("viewers", "view", user("joe"), kind="ClusterRole"))
    assert (await refused(server, cluster_binding("all", "view", user("joe")), "")).startswith(
        f'clusterrolebindings.{RBAC} "all" is forbidden: {NOT_HELD}'
    )
    assert (await refused(server, binding("root", "cluster-admin", user("joe"), kind="ClusterRole"))).splitlines() == [
        f'rolebindings.{RBAC} "root" is forbidden: {NOT_HELD.rstrip()}',
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
        '{NonResourceURLs:["*"], Verbs:["*"]}',
    ]
    with pytest.raises(errors.NotFound) as told:
        await jane.create(binding("lost", "nothing", user("joe")))
    assert told.value.message == f'roles.{RBAC} "nothing" not found'


async def test_who_may_bind_a_role_gives_it_to_anybody(server: ApiServerInMemory) -> None:
    server.add(
        role("binder", rule("bind", "clusterroles", RBAC, "cluster-admin")), binding("b", "binder", user("jane"))
    )
    jane = acting_as(server, "jane")
    await jane.create(binding("root", "cluster-admin", user("joe"), kind="ClusterRole"))
    await refused(server, binding("node", "system:node", user("joe"), kind="ClusterRole"))


async def test_the_role_of_a_binding_stays(server: ApiServerInMemory) -> None:
    made = await server.client().create(binding("viewers", "view", user("joe"), kind="ClusterRole"))
    made.roleRef.name = "edit"
    with pytest.raises(errors.Invalid, match="cannot change roleRef"):
        await server.client().update(made)


async def test_only_who_may_do_everything_aggregates(server: ApiServerInMemory) -> None:
    made = cluster_role("sum")
    made.aggregationRule.clusterRoleSelectors.add(matchLabels={"a": "b"})
    assert await refused(server, made, "") == (
        f'clusterroles.{RBAC} "sum" is forbidden: must have cluster-admin privileges to use the aggregationRule'
    )
    await server.client().create(made)


async def test_garbage_collection_does_not_grant(server: ApiServerInMemory) -> None:
    """It takes owners and finalizers off what gives more than it has."""
    strong = binding("root", "cluster-admin", user("joe"), kind="ClusterRole")
    strong.metadata.finalizers.append("example.com/wait")
    server.add(strong)
    jane = acting_as(server, "jane")
    found: rbac_pb2.RoleBinding = await jane.get(ROLE_BINDINGS, "root", "default")
    del found.metadata.finalizers[:]
    found = await jane.update(found)
    assert not found.metadata.finalizers
    found.subjects.append(user("jane"))
    with pytest.raises(errors.Forbidden):
        await jane.update(found)


async def test_the_controller_manager_aggregates_what_it_does_not_have(server: ApiServerInMemory) -> None:
    role = server.get(CLUSTER_ROLES, "view")
    assert role is not None
    role.rules.add(verbs=["approve"], apiGroups=["example.com"], resources=["foos"])
    await acting_as(server, "system:kube-controller-manager").update(role)
