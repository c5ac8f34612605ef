"""Who may do what: the bootstrap roles of the components, and the node authoriser.

A small built-in table in the form of RBAC rules
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#core-component-roles), and for kubelets upstream's Node
authoriser and NodeRestriction admission (https://kubernetes.io/docs/reference/access-authn-authz/node/): a node reads
what it needs for the pods that are bound to it, and writes only its own Node, its own Lease and the status of its pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver import noderestriction
from kubelab.apiserver.authn import User
from kubelab.apiserver.cache import Entry, ResourceCache, Selection
from kubelab.apiserver.feed import Feed
from kubelab.apiserver.kinds import decode, meta
from kubelab.apiserver.registry import forbidden

MASTERS = "system:masters"
_READ = frozenset({"get", "list", "watch"})
_WRITE_EVENTS = frozenset({"create", "update", "patch"})


class Ask(NamedTuple):
    """What a request wants. ``resource`` is None for what is no resource, such as the server's version."""

    user: User
    verb: str
    resource: Resource[Message]
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    object: AnyMessage | None = None  # of a write


class Rule(NamedTuple):
    """Verbs on resources; ``*`` is any. Resources are plural, with ``/subresource`` where there is one."""

    verbs: frozenset[str]
    resources: frozenset[str]

    def allows(self, verb: str, target: str) -> bool:
        return ("*" in self.verbs or verb in self.verbs) and ("*" in self.resources or target in self.resources)


def _rule(verbs: str, resources: str) -> Rule:
    return Rule(frozenset(verbs.split()), frozenset(resources.split()))


_EVENTS = Rule(_WRITE_EVENTS, frozenset({"events"}))
# By user. The controller-manager's is the union of upstream's controller roles; its namespace controller deletes
# whatever there is.
ROLES: Mapping[str, tuple[Rule, ...]] = {
    "system:kube-scheduler": (
        _rule("get list watch", "nodes pods namespaces services replicationcontrollers"),
        _rule("create", "pods/binding bindings"),
        _rule("update patch", "pods/status"),
        _rule("delete", "pods"),
        _rule("get list watch create update", "leases"),
        _EVENTS,
    ),
    "system:kube-controller-manager": (_rule("*", "*"),),
    "system:kube-proxy": (_rule("get list watch", "services endpoints nodes"), _EVENTS),
}
# What any node may do anywhere; what depends on the object is below.
_NODE_RULES = (_rule("get list watch", "nodes services"), _EVENTS)


class Authorizer:
    """Answers by raising Forbidden in upstream's words, or not."""

    def __init__(self, feed: Feed, caches: Mapping[str, ResourceCache]) -> None:
        self._feed, self._caches = feed, caches

    async def check(self, ask: Ask) -> None:
        user = ask.user
        if MASTERS in user.groups:
            return
        target = f"{ask.resource.plural}/{ask.subresource}" if ask.subresource else ask.resource.plural
        if any(rule.allows(ask.verb, target) for rule in ROLES.get(user.name, ())):
            return
        if node := user.node:
            if any(rule.allows(ask.verb, target) for rule in _NODE_RULES):
                return
            await self._check_node(ask, node, target)
            return
        raise refusal(ask)

    async def _check_node(self, ask: Ask, node: str, target: str) -> None:
        match target:
            case "nodes" | "nodes/status":
                await self._own_node(ask, node)
            case "leases":
                self._own_lease(ask, node)
            case "pods" | "pods/status":
                await self._own_pods(ask, node)
            case "secrets" | "configmaps" if ask.verb in _READ:
                await self._referenced(ask, node)
            case _:
                raise refusal(ask)

    async def _own_node(self, ask: Ask, node: str) -> None:
        name = _name(ask)
        if ask.verb not in ("create", "update", "patch"):
            raise refusal(ask)
        if name != node:
            raise forbidden(ask.resource, name, f'node "{node}" is not allowed to modify node "{name}"')
        if ask.verb == "update" and not ask.subresource:  # a status brings nothing else along
            wanted = decode(core_pb2.Node, ask.object or AnyMessage())
            await self._feed.fresh()
            there = self._caches["nodes"].get("", name)
            if there and (why := noderestriction.complaint(wanted, core_pb2.Node.FromString(there.raw))):
                raise forbidden(ask.resource, name, why)

    @staticmethod
    def _own_lease(ask: Ask, node: str) -> None:
        name = _name(ask)
        if ask.namespace != "kube-node-lease" or ask.verb not in ("get", "create", "update", "patch", "delete"):
            raise refusal(ask)
        if name != node:
            why = f'can only access lease with the same name as the requesting node: "{name}" != "{node}"'
            raise refusal(ask, why)

    async def _own_pods(self, ask: Ask, node: str) -> None:
        if ask.verb in ("list", "watch"):
            if f"spec.nodeName={node}" not in ask.field_selector.replace("==", "=").split(","):
                raise refusal(ask, "can only list/watch pods with spec.nodeName field selector")
            return
        deciding = (ask.verb, ask.subresource)
        if deciding not in (("get", ""), ("get", "status"), ("update", "status"), ("patch", "status"), ("delete", "")):
            raise refusal(ask)
        entry = await self._pod(ask.namespace, ask.name, node)
        if entry is None or entry.fields.get("spec.nodeName") == node:
            return  # what is not there gets its NotFound
        if ask.verb == "get":
            raise refusal(ask, f"no relationship found between node '{node}' and this object")
        act = "delete pods" if ask.verb == "delete" else "update pod status for pods"
        raise forbidden(ask.resource, ask.name, f'node "{node}" can only {act} with spec.nodeName set to itself')

    async def _pod(self, namespace: str, name: str, node: str) -> Entry | None:
        """A pod as it is now; a pod once bound stays bound, so that a hit in the cache is enough."""
        cache = self._caches["pods"]
        entry = cache.get(namespace, name)
        if entry is None or entry.fields.get("spec.nodeName") != node:
            await self._feed.fresh()
            entry = cache.get(namespace, name)
        return entry

    async def _referenced(self, ask: Ask, node: str) -> None:
        """A node reads a secret or a config map because one of its pods names it."""
        if ask.name:
            if self._named_by_pods(ask, node):
                return
            await self._feed.fresh()
            if self._named_by_pods(ask, node):
                return
        raise refusal(ask, f"no relationship found between node '{node}' and this object")

    def _named_by_pods(self, ask: Ask, node: str) -> bool:
        names = _config_maps if ask.resource.plural == "configmaps" else _secrets
        return any(
            ask.name in names(core_pb2.Pod.FromString(entry.raw))
            for entry in self._caches["pods"].select(Selection(ask.namespace))
            if entry.fields.get("spec.nodeName") == node
        )


def _name(ask: Ask) -> str:
    """Of the object that is asked for; a new one says it itself."""
    if ask.name or ask.object is None:
        return ask.name
    return meta(decode(ask.resource.message, ask.object)).name


def refusal(ask: Ask, why: str = "") -> errors.Forbidden:
    """``pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"``."""
    target = f"{ask.resource.plural}/{ask.subresource}" if ask.subresource else ask.resource.plural
    where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
    told = f'User "{ask.user.name}" cannot {ask.verb} resource "{target}" in API group "{ask.resource.group}" {where}'
    return forbidden(ask.resource, ask.name, f"{told}: {why}" if why else told)


def _config_maps(pod: core_pb2.Pod) -> Iterable[str]:
    for container in pod.spec.containers:
        yield from (e.valueFrom.configMapKeyRef.localObjectReference.name for e in container.env)
        yield from (e.configMapRef.localObjectReference.name for e in container.envFrom)


def _secrets(pod: core_pb2.Pod) -> Iterable[str]:
    for container in pod.spec.containers:
        yield from (e.valueFrom.secretKeyRef.localObjectReference.name for e in container.env)
        yield from (e.secretRef.localObjectReference.name for e in container.envFrom)
