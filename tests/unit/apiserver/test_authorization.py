"""Who may do what: each identity, verb, resource, subresource, namespace, and names in path, object
and selector, all combined.

The requests are generated. What is right is said once more here, a few lines for each identity, in other words than the
roles' and the Node authoriser's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.authz.permissions import Judge, Question, cluster, members, put_into, user

OK = "OK"
CHANGES = ("update", "patch")
COLLECTION = ("list", "watch", "deletecollection")
VERBS = sorted({verb for resource in scheme.ALL for verb in resource.verbs})
NAMESPACES = ("", "default", "kube-system", "kube-node-lease")
NAMES = ("", "mine", "theirs", "node-1", "node-2", "kube-scheduler", "kube-controller-manager")
ODD = ("..", "default/mine", "%2e")
SELECTORS = ("", "metadata.name=mine", "metadata.name=theirs", "metadata.name!=mine", "spec.nodeName=node-1")

May = Callable[[Question, str], bool]
"""Say whether an identity may make a well-formed request on an object of this name (empty: on a collection)."""


JUDGE = Judge([*cluster(), *members()])


# --- what is right


def reads(request: Question) -> bool:
    return request.verb in ("get", "list", "watch")


def events(request: Question) -> bool:
    return request.resource == "events" and not request.subresource and request.verb in ("create", *CHANGES)


def lease(request: Question, name: str, own: str) -> bool:
    """As upstream a component may create any Lease, and use the one with its name."""
    if not whole(request, "leases"):
        return False
    return request.verb == "create" or (request.verb in ("get", "update") and name == own)


def old_lock(request: Question, name: str, own: str) -> bool:
    """The config map of kube-system that upstream's components elected their leader by once."""
    if not whole(request, "configmaps") or request.namespace != "kube-system":
        return False
    return request.verb == "watch" or (request.verb in ("get", "update") and name == own)


def reviews(request: Question) -> bool:
    """Ask who somebody is, and what they may do."""
    return request.verb == "create" and whole(request, "tokenreviews", "subjectaccessreviews")


def whole(request: Question, *resources: str) -> bool:
    """Of one of these resources, and of no subresource."""
    return request.resource in resources and not request.subresource


def asks_about_itself(r: Question) -> bool:
    """What everybody with a certificate may ask."""
    return r.verb == "create" and r.resource.startswith("selfsubject") and not r.subresource


def everything(_request: Question, _name: str) -> bool:
    return True


def nothing(_request: Question, _name: str) -> bool:
    return False


def scheduler(r: Question, name: str) -> bool:
    return (
        (reads(r) and whole(r, "nodes", "pods", "namespaces", "services", "replicationcontrollers"))
        or (reads(r) and whole(r, "replicasets", "statefulsets", "poddisruptionbudgets"))
        or (r.verb == "create" and (r.subresource == "binding" or whole(r, "bindings")))
        or (r.verb in CHANGES and r.resource == "pods" and r.subresource == "status")
        or (r.verb == "delete" and whole(r, "pods"))
        or lease(r, name, "kube-scheduler")
        or old_lock(r, name, "kube-scheduler")
        or reviews(r)
        or events(r)
    )


def controller_manager(r: Question, _name: str) -> bool:
    """The garbage collector and the namespace controller do everything but create."""
    if r.verb != "create":
        return True
    return (
        whole(r, "pods", "replicasets", "jobs", "controllerrevisions", "endpoints", "endpointslices")
        or whole(r, "serviceaccounts", "configmaps", "secrets", "leases", "events")
        or r.subresource in ("binding", "token")
        or reviews(r)
    )


def kube_proxy(r: Question, _name: str) -> bool:
    follows = r.verb in ("list", "watch") and whole(r, "services", "endpoints", "endpointslices")
    return follows or (reads(r) and whole(r, "nodes")) or events(r)


def kubelet_client(r: Question, _name: str) -> bool:
    return reads(r) and whole(r, "nodes")


def node_1(r: Question, name: str) -> bool:
    if reads(r) and whole(r, "nodes", "services"):
        return True
    if whole(r, "certificatesigningrequests") and (reads(r) or r.verb == "create"):
        return True
    if r.resource in ("secrets", "configmaps"):
        return reads(r) and not r.subresource and (r.namespace, name) == ("default", "mine")
    if r.resource == "serviceaccounts":
        return (r.verb, r.subresource, r.namespace, name) == ("create", "token", "default", "mine")
    if r.resource == "leases":
        own = (r.namespace, name) == ("kube-node-lease", "node-1")
        return own and not r.subresource and r.verb in ("get", "create", "delete", *CHANGES)
    if r.resource == "nodes":
        acts = (r.verb, r.subresource) in (("create", ""), *product(CHANGES, ("", "status")))
        return acts and (name == "node-1" or (r.verb in CHANGES and name != "node-2"))  # the others are not there
    if r.resource == "pods":
        if r.verb in ("list", "watch"):
            return not r.subresource and r.selector == "spec.nodeName=node-1"
        # What is not there gets its NotFound.
        acts = (r.verb, r.subresource) in (
            ("get", ""),
            ("get", "status"),
            *product(CHANGES, ("status",)),
            ("delete", ""),
        )
        return acts and (r.namespace, name) != ("default", "theirs")
    return events(r)


SCALED = ("replicationcontrollers", "deployments", "replicasets", "statefulsets")
EDITED = (
    *("pods", "configmaps", "secrets", "serviceaccounts", "services", "events", "leases", "daemonsets", *SCALED),
    *("horizontalpodautoscalers", "cronjobs", "jobs", "poddisruptionbudgets", "ingresses", "networkpolicies"),
)
SEEN = (
    *(one for one in EDITED if one not in ("secrets", "leases")),
    *("endpoints", "endpointslices", "bindings", "limitranges", "resourcequotas", "controllerrevisions"),
)


def view(r: Question, _name: str) -> bool:
    """Read a namespace, but no secrets, no roles and nothing that is used to act."""
    parts = ("", "status", "log", "scale") if r.resource in SCALED else ("", "status", "log")
    return r.namespace == "default" and reads(r) and r.resource in SEEN and r.subresource in parts


def edit(r: Question, name: str) -> bool:
    """Use a namespace; change no quota, no limits, no roles and no status."""
    if view(r, name):
        return True
    if r.namespace != "default":
        return False
    if (r.resource, r.subresource) in (("pods", "eviction"), ("serviceaccounts", "token")):
        return r.verb == "create"
    scales = r.subresource == "scale" and r.resource in SCALED
    return (not r.subresource and r.resource in EDITED) or scales or (r.resource, r.subresource) == ("pods", "exec")


def admin(r: Question, name: str) -> bool:
    """Use a namespace, and say who else may."""
    if r.namespace == "default" and r.verb == "create" and whole(r, "localsubjectaccessreviews"):
        return True
    return edit(r, name) or (r.namespace == "default" and whole(r, "roles", "rolebindings"))


IDENTITIES = {
    "admin of a namespace": (user("admin-of-default"), admin),
    "edit of a namespace": (user("edit-of-default"), edit),
    "view of a namespace": (user("view-of-default"), view),
    "a pod's account": (user("system:serviceaccount:default:default", "system:serviceaccounts"), nothing),
    "system:masters": (user("root", "system:masters"), everything),
    "cluster-admins": (user("kubernetes-admin", "kubeadm:cluster-admins"), everything),
    "scheduler": (user("system:kube-scheduler"), scheduler),
    "controller-manager": (user("system:kube-controller-manager"), controller_manager),
    "kube-proxy": (user("system:kube-proxy"), kube_proxy),
    "kubelet": (user("system:node:node-1", "system:nodes"), node_1),
    "node without the group": (user("system:node:node-1"), nothing),
    "the group without a node": (user("jane", "system:nodes"), nothing),
    "api-server towards kubelets": (user("kube-apiserver-kubelet-client"), kubelet_client),
    "supervisor": (user("kubelab-supervisor"), nothing),
    "monitoring": (user("prometheus", "system:monitoring"), nothing),
    "stranger": (user("jane", "people"), nothing),
}


def requests(resource: scheme.Resource[core_pb2.Pod]) -> Iterator[Question]:
    """Every request on a resource, sensible or not."""
    subresources = sorted({"", "log", "audit", "exec", "status", *resource.subresources})
    places = (*product(NAMESPACES, NAMES), *product(("default", "a/b"), ODD))
    for verb, subresource, (namespace, name) in product(VERBS, subresources, places):
        one = Question(verb, resource.plural, resource.group, subresource, namespace, name)
        if verb in COLLECTION:
            yield from (one._replace(selector=selector) for selector in SELECTORS)
        elif verb in ("create", "update"):
            for object_name in NAMES:
                yield one._replace(object_name=object_name)
            yield one._replace(object_name=name or "mine", object_namespace="kube-system")
        else:
            yield one


def expected(may: May, resource: scheme.Resource[core_pb2.Pod], r: Question) -> str:
    """What becomes of a request: by its form, then by who makes it, then by what is served."""
    subresources = {*resource.subresources, "audit", *(("log", "exec") if resource is scheme.PODS else ())}
    if r.subresource and r.subresource not in subresources:
        return "NotFound"
    named = r.verb not in ("create", *COLLECTION) or r.subresource
    if any(sign in r.namespace + r.name for sign in ("/", "%")) or r.name == "..":
        return "BadRequest"
    if bool(r.name) != bool(named) or (r.namespace and not resource.namespaced):
        return "BadRequest"
    if resource.namespaced and not r.namespace and r.verb not in COLLECTION:
        return "BadRequest"
    if r.object_name is not None:
        if r.name and r.object_name != r.name:
            return "BadRequest"
        if resource.namespaced and r.object_namespace not in ("", r.namespace):
            return "BadRequest"
    chosen = r.selector.removeprefix("metadata.name=") if r.selector.startswith("metadata.name=") else ""
    if not asks_about_itself(r) and not may(r, r.name or r.object_name or chosen):
        return "Forbidden"
    served = {
        "": resource.verbs,
        "status": ("get", *CHANGES),
        "approval": ("get", *CHANGES),
        "scale": ("get", *CHANGES),
        "binding": ("create",),
        "eviction": ("create",),
        "token": ("create",),
        "finalize": ("update",),
        "exec": ("get", "create"),
    }
    return OK if r.verb in served.get(r.subresource, ("get",)) else "MethodNotAllowed"


@pytest.mark.parametrize("resource", scheme.ALL, ids=str)
@pytest.mark.parametrize("identity", IDENTITIES)
async def test_every_request_is_judged_by_what_it_does(identity: str, resource: scheme.Resource[core_pb2.Pod]) -> None:
    who, may = IDENTITIES[identity]
    wrong: list[str] = []
    for request in requests(resource):
        got = OK
        try:
            await JUDGE.judge(who, request)
        except errors.ApiError as err:
            got = err.reason
        if got != (right := expected(may, resource, request)):
            wrong.append(f"{request}: {got}, not {right}")
    assert wrong == []


def test_the_table_for_people_is_what_the_authorisers_say() -> None:
    page = Path(__file__).parents[3] / "docs/security.md"
    assert page.read_text() == put_into(page.read_text()), "type: make permissions"
