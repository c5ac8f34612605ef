"""The Node authoriser: what a kubelet may read and write because of the pods that are bound to its node.

https://kubernetes.io/docs/reference/access-authn-authz/node/: a node reads what the pods that are bound to it name, and
writes its own Node, its own Lease and the status of its pods. What it may not write into these is NodeRestriction's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.podreferences import config_map_names, secret_names
from kubelab.apimachinery.scheme import PODS, Resource
from kubelab.apiserver.authz.rbac.defaults.words import READ, rule
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Entry, Selection
from kubelab.apiserver.watchcache.reflector import Reflector
from kubelab.auth.attributes import Attributes

LEASE_NAMESPACE = "kube-node-lease"
NO_OPINION = "-"  # leaves the decision, and the words, to the roles
_READS = ("get", "list", "watch")
# Upstream's 1.32 lets a node read its own Node only; here kubelets keep the routes to each other's pods and need all.
EVERY_NODE = (
    rule(READ, "nodes services"),
    rule("create patch update", "events"),
    rule(f"create {READ}", "certificatesigningrequests", "certificates.k8s.io"),
)
"""What a node may do with all objects of a kind."""
_ALLOWED = ""


class NodeAuthorizer:
    """What a node may do with some objects and not with others, as upstream's plugin/pkg/auth/authorizer/node."""

    def __init__(self, reflector: Reflector, caches: Mapping[Resource[Message], ResourceCache]) -> None:
        self._reflector, self._caches = reflector, caches

    async def complaint(self, a: Attributes, node: str) -> str:
        """Why a node may not, in upstream's words; empty where it may."""
        match a.group, a.resource:
            case "", "secrets" | "configmaps":
                return await self._referenced(a, node)
            case "", "serviceaccounts":
                return await self._token(a, node)
            case "coordination.k8s.io", "leases":
                return _lease(a, node)
            case "", "nodes":
                return _own_node(a)
            case "", "pods":
                return await self._pod(a, node)
            case _:
                return _ALLOWED if _for_every_node(a) else NO_OPINION

    async def _referenced(self, a: Attributes, node: str) -> str:
        """A node reads one secret or config map at a time, and only because a pod of its names it."""
        if a.verb not in _READS:
            return "can only read resources of this type"
        if a.subresource:
            return "cannot read subresource"
        if not a.namespace:
            return "can only read namespaced object of this type"
        if not a.name:
            return "No Object name found"
        return await self._by_its_pods(self._named_by_pods, a, node)

    async def _by_its_pods(self, related: Callable[[Attributes, str], bool], a: Attributes, node: str) -> str:
        """Look at the pods that are known, and before a refusal once more at those that etcd has."""
        if related(a, node):
            return _ALLOWED
        await self._reflector.fresh()
        return _ALLOWED if related(a, node) else _unrelated(node)

    def _named_by_pods(self, a: Attributes, node: str) -> bool:
        names = config_map_names if a.resource == "configmaps" else secret_names
        return any(
            a.name in names(core_pb2.Pod.FromString(entry.raw).spec)
            for entry in self._caches[PODS].select(Selection(a.namespace))
            if entry.fields.get("spec.nodeName") == node
        )

    async def _token(self, a: Attributes, node: str) -> str:
        """A node asks for tokens of the accounts that its pods run as; which pod one is bound to, NodeRestriction's
        part of the subresource looks at."""
        if (a.verb, a.subresource) != ("create", "token") or not a.namespace or not a.name:
            return "can only create tokens for individual service accounts"
        return await self._by_its_pods(self._run_by_pods, a, node)

    def _run_by_pods(self, a: Attributes, node: str) -> bool:
        pods = (entry.fields for entry in self._caches[PODS].select(Selection(a.namespace)))
        return any(
            fields.get("spec.nodeName") == node and fields.get("spec.serviceAccountName") == a.name for fields in pods
        )

    async def _pod(self, a: Attributes, node: str) -> str:
        match a.verb, a.subresource:
            case ("get", "" | "status"):
                return await self._bound(a, node)
            case ("list" | "watch", ""):
                if a.fields.exact("spec.nodeName") == node:
                    return _ALLOWED
                return "can only list/watch pods with spec.nodeName field selector"
            case ("create" | "delete", "") | ("update" | "patch", "status"):
                return _ALLOWED  # NodeRestriction looks at which
            case _:
                return NO_OPINION

    async def _bound(self, a: Attributes, node: str) -> str:
        """A pod is its node's to read. What is not there is allowed, and gets NotFound."""
        entry = await self._entry(a.namespace, a.name, node)
        return _ALLOWED if entry is None or entry.fields.get("spec.nodeName") == node else _unrelated(node)

    async def _entry(self, namespace: str, name: str, node: str) -> Entry | None:
        """A pod as it is now; a pod once bound stays bound, so that a hit in the cache is enough."""
        cache = self._caches[PODS]
        entry = cache.get(namespace, name)
        if entry is None or entry.fields.get("spec.nodeName") != node:
            await self._reflector.fresh()
            entry = cache.get(namespace, name)
        return entry


def _for_every_node(a: Attributes) -> bool:
    return any(rule.allows(a.verb, a.group, a.resource, a.subresource, a.name) for rule in EVERY_NODE)


def _own_node(a: Attributes) -> str:
    """Which Node is written, and what into it, NodeRestriction looks at."""
    if _for_every_node(a):
        return _ALLOWED
    changes = a.verb in ("update", "patch") and a.subresource in ("", "status")
    return _ALLOWED if changes or (a.verb, a.subresource) == ("create", "") else NO_OPINION


def _lease(a: Attributes, node: str) -> str:
    if a.verb not in ("get", "create", "update", "patch", "delete"):
        return "can only get, create, update, patch, or delete a node lease"
    if a.namespace != LEASE_NAMESPACE:
        return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
    if a.subresource:
        return NO_OPINION
    if a.name != node:
        return "can only access node lease with the same name as the requesting node"
    return _ALLOWED


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"
