"""Roles and bindings decide: what users, groups and service accounts may do by them, at once after a change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.authorization.v1 import authorization_pb2 as authorization
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.authz.rbac.index import RoleIndex
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import AUTHENTICATED, User
from tests.support.apiserver import ApiServerInMemory
from tests.unit.apiserver.rbac.support import (
    account,
    acting_as,
    binding,
    cluster_binding,
    cluster_role,
    group,
    paths,
    role,
    rule,
    user,
)

JANE = User("jane", frozenset({AUTHENTICATED, "people"}))
BUILDER = User("system:serviceaccount:lab:builder", frozenset({"system:serviceaccounts", AUTHENTICATED}))


@pytest.fixture
async def server() -> ApiServerInMemory:
    made = ApiServerInMemory()
    made.add_default_roles()
    return made


async def may(server: ApiServerInMemory, who: User, request: str) -> bool:
    """``get pods/log web default``: verb, resource with group and subresource, name, namespace (``-``: none)."""
    verb, target, *rest = request.split()
    name, namespace = ("" if word == "-" else word for word in (*rest, "-", "-")[:2])
    if target.startswith("/"):
        return (await server.api.authorizer.decide(Attributes(who, verb, path=target)))[0]
    qualified, _, subresource = target.partition("/")
    resource, _, api_group = qualified.partition(".")
    a = Attributes(who, verb, api_group, resource, subresource, namespace, name)
    return (await server.api.authorizer.decide(a))[0]


@pytest.mark.parametrize(
    ("objects", "allowed", "refused"),
    [
        (
            [role("r", rule("get list", "pods")), binding("b", "r", user("jane"))],
            ["get pods web default", "list pods - default"],
            [
                "get pods web lab",
                "list pods",
                "delete pods web default",
                "get pods/log web default",
                "get services x default",
            ],
        ),
        (
            [cluster_role("r", rule("get", "pods pods/log")), binding("b", "r", user("jane"), kind="ClusterRole")],
            ["get pods web default", "get pods/log web default"],
            ["get pods web lab", "get pods/exec web default"],
        ),
        (
            [cluster_role("r", rule("get", "pods nodes")), cluster_binding("b", "r", group("people"))],
            ["get pods web default", "get pods web lab", "get nodes node-1"],
            ["list nodes"],
        ),
        (
            [role("r", rule("get update", "configmaps", names="one two")), binding("b", "r", user("jane"))],
            ["get configmaps one default", "update configmaps two default"],
            ["get configmaps three default", "list configmaps - default"],
        ),
        (
            [cluster_role("r", rule("get", "*/scale", "*")), cluster_binding("b", "r", user("jane"))],
            ["get deployments.apps/scale web default", "get foos.example.com/scale x default"],
            ["get deployments.apps web default"],
        ),
        (
            [cluster_role("r", paths("get", "/metrics /logs/*")), cluster_binding("b", "r", user("jane"))],
            ["get /metrics", "get /logs/", "get /logs/a/b"],
            ["post /metrics", "get /metrics/slis", "get /logs"],
        ),
        (  # a role binding gives no paths
            [cluster_role("r", paths("get", "/metrics")), binding("b", "r", user("jane"), kind="ClusterRole")],
            [],
            ["get /metrics"],
        ),
        ([cluster_binding("b", "r", user("jane"))], [], ["get pods web default"]),
        ([role("r", rule("get", "pods")), binding("b", "r", user("people"))], [], ["get pods web default"]),
        (
            [role("r", rule("get", "pods"), namespace="lab"), binding("b", "r", user("jane"))],
            [],
            ["get pods web default"],
        ),
    ],
)
async def test_what_jane_may_do(
    server: ApiServerInMemory, objects: list[core_pb2.Pod], allowed: list[str], refused: list[str]
) -> None:
    server.add(*objects)
    assert [one for one in allowed if not await may(server, JANE, one)] == []
    assert [one for one in refused if await may(server, JANE, one)] == []


async def test_everybody_may_discover_and_ask_about_themselves_and_no_more(server: ApiServerInMemory) -> None:
    for path in ("/version", "/api", "/apis/apps/v1", "/openapi/v3", "/readyz"):
        assert await may(server, JANE, f"get {path}")
    assert await may(server, JANE, "create selfsubjectaccessreviews.authorization.k8s.io")
    assert not await may(server, JANE, "get /")
    assert not await may(server, JANE, "get /metrics")
    assert not await may(server, JANE, "get namespaces default default")


async def test_a_service_account_has_the_rights_of_its_bindings(server: ApiServerInMemory) -> None:
    server.add(role("r", rule("list", "pods"), namespace="lab"))
    assert not await may(server, BUILDER, "list pods - lab")
    server.add(binding("b", "r", account("builder"), namespace="lab"))  # its own namespace is the binding's
    assert await may(server, BUILDER, "list pods - lab")
    other = User("system:serviceaccount:default:builder", BUILDER.groups)
    assert not await may(server, other, "list pods - lab")
    server.add(binding("b", "r", group("system:serviceaccounts"), namespace="lab"))
    assert await may(server, other, "list pods - lab")
    server.remove(scheme.ROLES, "lab/r")
    assert not await may(server, other, "list pods - lab")


async def test_the_group_of_masters_needs_no_binding(server: ApiServerInMemory) -> None:
    root = User("root", frozenset({"system:masters"}))
    server.remove(scheme.CLUSTER_ROLE_BINDINGS, "cluster-admin")
    assert await may(server, root, "delete nodes node-1")
    admin = User("kubernetes-admin", frozenset({"kubeadm:cluster-admins"}))
    assert await may(server, admin, "delete nodes node-1")
    server.remove(scheme.CLUSTER_ROLE_BINDINGS, "kubeadm:cluster-admins")
    assert not await may(server, admin, "delete nodes node-1")


async def test_a_create_has_no_name_that_a_rule_could_give(server: ApiServerInMemory) -> None:
    server.add(role("r", rule("create", "configmaps", names="one")), binding("b", "r", user("jane")))
    named = meta_pb2.ObjectMeta(name="one")
    with pytest.raises(errors.Forbidden) as told:
        await acting_as(server, "jane").create(core_pb2.ConfigMap(metadata=named), "default")
    assert told.value.message == (
        'configmaps is forbidden: User "jane" cannot create resource "configmaps" in API group "" in the namespace'
        ' "default"'
    )


async def test_a_refusal_names_the_role_that_is_missing(server: ApiServerInMemory) -> None:
    server.add(cluster_binding("b", "gone", user("jane")), binding("c", "lost", user("jane")))
    with pytest.raises(errors.Forbidden) as told:
        await acting_as(server, "jane").list(scheme.PODS, "default")
    assert told.value.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default": RBAC: '
        '[clusterrole.rbac.authorization.k8s.io "gone" not found, role.rbac.authorization.k8s.io "lost" not found]'
    )
    with pytest.raises(errors.Forbidden, match=r'RBAC: clusterrole\.rbac\.authorization\.k8s\.io "gone" not found$'):
        await acting_as(server, "jane").list(scheme.NODES)


async def test_reviews_tell_which_binding_allows_it(server: ApiServerInMemory) -> None:
    server.add(role("r", rule("list", "pods")), binding("b", "r", user("jane"), group("people")))
    review = authorization.SubjectAccessReview()
    review.spec.user = "jane"
    attributes = review.spec.resourceAttributes
    attributes.verb, attributes.resource, attributes.namespace = "list", "pods", "default"
    status = (await server.client().create(review)).status
    assert status.allowed
    assert status.reason == 'RBAC: allowed by RoleBinding "b/default" of Role "r" to User "jane"'
    review.spec.user, review.spec.groups[:] = "joe", ["people"]
    status = (await server.client().create(review)).status
    assert status.allowed
    assert status.reason == 'RBAC: allowed by RoleBinding "b/default" of Role "r" to Group "people"'
    attributes.namespace = "lab"
    status = (await server.client().create(review)).status
    assert not status.allowed
    assert status.reason == ""


async def test_a_rules_review_lists_the_rules_of_a_namespace(server: ApiServerInMemory) -> None:
    server.add(role("r", rule("list get", "pods", names="web")), binding("b", "r", user("jane")))
    for namespace, found in (("default", 1), ("lab", 0)):
        review = authorization.SelfSubjectRulesReview()
        review.spec.namespace = namespace
        status = (await acting_as(server, "jane").create(review)).status
        pods = [one for one in status.resourceRules if list(one.resources) == ["pods"]]
        assert len(pods) == found
        assert any("/api/*" in one.nonResourceURLs for one in status.nonResourceRules)
        if pods:
            assert (list(pods[0].verbs), list(pods[0].apiGroups), list(pods[0].resourceNames)) == (
                ["get", "list"],
                [""],
                ["web"],
            )


# --- the index keeps up with every change

NAMES = ("a", "b", "c")
SUBJECTS = (user("jane"), group("people"), account("builder", "lab"), user("joe"))
RULES = (rule("get", "pods"), rule("*", "*", "*"), rule("get", "pods", names="web"), paths("get", "/metrics"))


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, object]:
    """Put or remove a role or a binding."""
    kind = draw(st.sampled_from(("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")))
    name, namespace = draw(st.sampled_from(NAMES)), draw(st.sampled_from(("default", "lab")))
    if draw(st.booleans()) and draw(st.booleans()):
        return "remove", (kind, name, namespace)
    rules = draw(st.lists(st.sampled_from(RULES), max_size=2))
    subjects = draw(st.lists(st.sampled_from(SUBJECTS), max_size=2))
    to = draw(st.sampled_from(NAMES))
    match kind:
        case "Role":
            return "add", role(name, *rules, namespace=namespace)
        case "ClusterRole":
            return "add", cluster_role(name, *rules)
        case "RoleBinding":
            which = draw(st.sampled_from(("Role", "ClusterRole")))
            return "add", binding(name, to, *subjects, kind=which, namespace=namespace)
        case _:
            return "add", cluster_binding(name, to, *subjects)


KINDS = {
    one.kind: one for one in (scheme.ROLES, scheme.CLUSTER_ROLES, scheme.ROLE_BINDINGS, scheme.CLUSTER_ROLE_BINDINGS)
}
ASKED = [
    Attributes(who, verb, "", "pods", "", namespace, name)
    for who in (JANE, BUILDER, User("joe", frozenset()))
    for verb in ("get", "list")
    for namespace in ("", "default", "lab")
    for name in ("", "web")
] + [Attributes(JANE, "get", path="/metrics")]


@settings(deadline=None, max_examples=40)
@given(st.lists(changes(), max_size=25))
def test_the_index_is_after_every_change_what_a_new_one_would_be(steps: list[tuple[str, object]]) -> None:
    server = ApiServerInMemory()
    index = server.api.authorizer.roles
    for step, what in steps:
        if step == "add":
            server.add(what)  # pyright: ignore[reportArgumentType]
        else:
            kind, name, namespace = what  # pyright: ignore[reportGeneralTypeIssues]
            resource = KINDS[kind]
            key = f"{namespace}/{name}" if resource.namespaced else name
            if server.get(resource, key) is not None:
                server.remove(resource, key)
        new = RoleIndex(server.api.caches)
        assert [index.allows(a) for a in ASKED] == [new.allows(a) for a in ASKED]
        assert [index.why(a) for a in ASKED] == [new.why(a) for a in ASKED]
        assert [bool(index.why(a)) for a in ASKED] == [index.allows(a) for a in ASKED]
        for who in (JANE, BUILDER):
            assert index.rules_of(who, "lab") == new.rules_of(who, "lab")
            assert index.missing(who, "lab") == new.missing(who, "lab")
