"""The table of permissions, from the authorisers themselves.

``python -m kubelab.apiserver.authz.permissions [--write FILE]``

Prints the table of docs/security.md, or puts it into a file between its two marks. Each cell is found by judging
requests on a small cluster in memory: one on what is the identity's own, one on what is another's.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.chain import AdmissionChain
from kubelab.apiserver.admission.noderestriction import MIRROR, NodeRestriction
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.apiserver.authz.rbac.bootstrap import seeds
from kubelab.apiserver.endpoints.attributes import COLLECTION_VERBS, attributes_of, lookup
from kubelab.apiserver.endpoints.handler import check_verb
from kubelab.apiserver.request import RequestPath
from kubelab.apiserver.resources.table import Resources, builtin
from kubelab.auth import roles
from kubelab.auth.attributes import Attributes
from kubelab.auth.methods import KUBELET
from kubelab.auth.users import AUTHENTICATED, NODE_PREFIX, NODES, User

BEGIN, END = "<!-- permissions: made by make permissions -->", "<!-- end of permissions -->"
NODE, NODE_UID = "node-1", "uid-of-node-1"
READS = ("get", "list", "watch")
RESOURCES = Resources(builtin())


def user(name: str, *groups: str, process: str = "") -> User:
    """Somebody whose certificate the cluster's authority has signed."""
    return User(name, frozenset({*groups, AUTHENTICATED}), process)


MEMBERS: Mapping[str, User] = {
    f"{role} of a namespace": user(f"{role}-of-default") for role in ("admin", "edit", "view")
}
IDENTITIES: Mapping[str, User] = {
    roles.ADMINS: user("kubernetes-admin", roles.ADMINS),
    "scheduler": user(roles.SCHEDULER),
    "controller-manager": user(roles.CONTROLLER_MANAGER),
    "kubelet": user(f"{NODE_PREFIX}{NODE}", NODES),
    "kube-proxy": user(roles.KUBE_PROXY),
    "api-server, at kubelets": user(roles.KUBELET_CLIENT),
    roles.MONITORING: user("prometheus", roles.MONITORING),
    **MEMBERS,
    "anybody else": user("jane"),
}


class Question(NamedTuple):
    """``object_name`` is None where the request carries no object."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    object_name: str | None = None
    object_namespace: str = ""
    selector: str = ""


class _Fresh:
    """Stands for the reflector: the caches are as fresh as they will ever be."""

    async def fresh(self) -> None:
        return None


class Judge:
    """Judges requests on a cluster with these objects, as the request handler and the registry do."""

    def __init__(self, objects: Iterable[Message] = ()) -> None:
        self._resources = Resources(builtin())
        self._caches = self._resources.caches
        stored: dict[Resource[Message], list[tuple[str, bytes, int]]] = {resource: [] for resource in self._caches}
        for obj in (*seeds(), *objects):
            m, resource = meta_of(obj), scheme.of_object(obj)
            cache = self._caches[resource]
            raw = cache.kind.envelope.seal(obj.SerializeToString(deterministic=True))
            stored[resource].append((cache.key(m.namespace, m.name), raw, 1))
        for resource, values in stored.items():
            self._caches[resource].replace(values, 1)
        reflector: Any = _Fresh()
        self._authorizer = Authorizer(reflector, self._caches)
        self._admission = AdmissionChain([NodeRestriction(lambda name: NODE_UID)])

    async def may(self, a: Attributes) -> bool:
        """Say whether a request is allowed."""
        return (await self._authorizer.decide(a))[0]

    async def judge(self, who: User, request: Question, obj: Message | None = None) -> None:
        """Raise what a request gets. ``obj`` is its object, an empty one of ``object_name`` by default."""
        path = RequestPath(
            group=request.group,
            resource=request.resource,
            namespace=request.namespace,
            name=request.name,
            subresource=request.subresource,
        )
        resource, subresource = lookup(path, self._resources)
        if obj is None and request.object_name is not None:
            message = subresource.message if subresource is not None else None
            obj = (message or resource.message)()
            meta_of(obj).name, meta_of(obj).namespace = request.object_name, request.object_namespace
        a = attributes_of(who, request.verb, resource, path, request.selector, obj)
        await self._authorizer.check(a)
        check_verb(a, resource, subresource)
        admission = self._admission.of(a)
        if request.verb == "create":
            admission.admit(obj, None)
        elif request.verb in ("update", "patch", "delete") and resource in self._caches:
            entry = self._caches[resource].get(a.namespace, a.name)
            if entry is not None:  # else the registry says NotFound
                old = resource.message.FromString(entry.raw)
                admission.admit(deep_copy(old) if request.verb == "patch" else obj, old)


# --- the table


def pod(name: str, node: str) -> core_pb2.Pod:
    """A pod of a node that names a secret, a config map and an account of its own name."""
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.namespace, made.spec.nodeName = name, "default", node
    made.spec.serviceAccountName = name
    container = made.spec.containers.add(name="main", image="hello")
    container.envFrom.add().configMapRef.localObjectReference.name = name
    container.env.add(name="x").valueFrom.secretKeyRef.localObjectReference.name = name
    return made


def mirror(node: str = NODE, uid: str = NODE_UID) -> core_pb2.Pod:
    """The mirror pod of a static pod."""
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.namespace, made.spec.nodeName = "static", "default", node
    made.metadata.annotations[MIRROR] = "hash"
    made.metadata.ownerReferences.add(apiVersion="v1", kind="Node", name=node, uid=uid, controller=True)
    made.spec.containers.add(name="main", image="hello")
    return made


def cluster() -> list[Message]:
    """Two nodes, and a pod on each: ``mine`` on node-1, ``theirs`` on node-2."""
    nodes = [core_pb2.Node() for _ in range(2)]
    for n, node in enumerate(nodes):
        node.metadata.name = f"node-{n + 1}"
    return [*nodes, pod("mine", NODE), pod("theirs", "node-2")]


def members() -> list[Message]:
    """Role bindings that make users admin, edit and view of the namespace default."""
    made: list[Message] = []
    for role in ("admin", "edit", "view"):
        binding = rbac_pb2.RoleBinding(roleRef=rbac_pb2.RoleRef(kind="ClusterRole", name=role))
        binding.metadata.name, binding.metadata.namespace = role, "default"
        binding.subjects.add(kind="User", name=f"{role}-of-default")
        made.append(binding)
    return made


def table() -> str:
    """The table in Markdown."""
    return asyncio.run(_table())


async def _table() -> str:
    judge = Judge([*cluster(), *members()])
    lines = [f"| | {' | '.join(IDENTITIES)} |", f"|---|{'---|' * len(IDENTITIES)}"]
    for resource in scheme.ALL:
        for subresource in ("", *resource.subresources, *(("log", "audit") if resource is scheme.PODS else ())):
            known = RESOURCES.subresource(resource, subresource) if subresource else None
            verbs = known.verbs if known is not None else resource.verbs
            cells = [await _cell(judge, name, resource, subresource, verbs) for name in IDENTITIES]
            lines.append(_row(f"{resource.qualified}/{subresource}" if subresource else resource.qualified, cells))
    for target in sorted({f"nodes/{right.subresource}" for right in KUBELET.values()}):
        subresource = target.partition("/")[2]
        questions = [Attributes(who, "get", resource="nodes", subresource=subresource) for who in IDENTITIES.values()]
        lines.append(_row(f"{target} (at a kubelet)", ["get" if roles.allows(a) else "" for a in questions]))
    for path in ("/metrics", "/version", "/openapi/v3", "/livez /readyz and gRPC health"):
        first = path.partition(" ")[0]
        questions = [Attributes(who, "get", path=first) for who in IDENTITIES.values()]
        lines.append(_row(path, ["get" if await judge.may(a) else "" for a in questions]))
    return "\n".join(lines) + "\n"


def _row(target: str, cells: Sequence[str]) -> str:
    return f"| {target} | {' | '.join(cells)} |"


async def _cell(
    judge: Judge, identity: str, resource: Resource[Message], subresource: str, verbs: Sequence[str]
) -> str:
    anything: list[str] = []
    own: list[str] = []
    for verb in sorted(verbs):
        if await _allowed(judge, identity, resource, subresource, verb, own=False):
            anything.append(verb)
        elif await _allowed(judge, identity, resource, subresource, verb, own=True):
            own.append(verb)
    if identity in MEMBERS:
        return _words(sorted([*anything, *own]), verbs)
    message = [_words(anything, verbs), f"own: {_words(own, verbs)}" if own else ""]
    return "; ".join(words for words in message if words)


def _words(verbs: Sequence[str], served: Sequence[str]) -> str:
    if len(verbs) == len(served) > 1:
        return "all"
    reads = all(verb in verbs for verb in READS)
    rest = [verb for verb in verbs if not (reads and verb in READS)]
    return " ".join([*(["read"] if reads else []), *rest])


async def _allowed(
    judge: Judge, identity: str, resource: Resource[Message], subresource: str, verb: str, *, own: bool
) -> bool:
    """Whether an identity may do something to what is its own, or to what is another's."""
    name, namespace = _place(identity, resource, own=own)
    one = Question(verb, resource.plural, resource.group, subresource, namespace if resource.namespaced else "")
    wanted: Message | None = None
    if verb in COLLECTION_VERBS:
        by_node = resource is scheme.PODS and identity == "kubelet"
        one = one._replace(selector=f"spec.nodeName={NODE}" if by_node else f"metadata.name={name}") if own else one
    elif verb == "create" and not subresource:
        if own and resource is scheme.PODS and identity == "kubelet":
            wanted = mirror()
        one = one._replace(object_name=name)
    else:
        one = one._replace(name=name, object_name=name if verb in ("create", "update") else None)
    try:
        await judge.judge(IDENTITIES[identity], one, wanted)
    except errors.Forbidden:
        return False
    return True


def _place(identity: str, resource: Resource[Message], *, own: bool) -> tuple[str, str]:
    if identity in MEMBERS:
        namespace = "default" if own else "kube-system"
        return (namespace if resource is scheme.NAMESPACES else "x"), namespace
    if resource is scheme.LEASES:
        components = {"kubelet": (NODE, "kube-node-lease")}
        components |= {name: (f"kube-{name}", "kube-system") for name in ("scheduler", "controller-manager")}
        return components.get(identity, ("x", "default")) if own else ("node-2", "kube-node-lease")
    if resource is scheme.NODES:
        return (NODE if own else "node-2"), ""
    return ("mine" if own else "theirs"), "default"


def put_into(text: str) -> str:
    """A document with the table between its marks replaced. ValueError where it has no marks."""
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:before]}\n\n{table()}\n{text[after:]}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or write it; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="kubelab.apiserver.authz.permissions", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put it between the marks of a file")
    file: Path | None = parser.parse_args(argv).write
    if file is None:
        sys.stdout.write(table())
        return 0
    file.write_text(put_into(file.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
