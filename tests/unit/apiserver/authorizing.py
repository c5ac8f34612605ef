"""Requests as the gate judges them, without a transport: resource, attributes, authorisation, verb, admission."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apiserver.attributes import attributes_of, message_of, resource_of
from kubelab.apiserver.authz import Authorizer
from kubelab.apiserver.gate import check_verb
from kubelab.apiserver.kinds import make_caches, meta
from kubelab.apiserver.noderestriction import admission
from kubelab.apiserver.strategies.registry import strategies
from kubelab.apiserver.v1 import apiserver_pb2 as pb
from kubelab.auth.users import AUTHENTICATED, User

NODE_UID = "uid-of-node-1"


class Request(NamedTuple):
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


class Feed:
    """The caches are as fresh as they will ever be."""

    async def fresh(self) -> None:
        return None


def user(name: str, *groups: str, process: str = "") -> User:
    return User(name, frozenset({*groups, AUTHENTICATED}), process)


class Judge:
    """Judges requests on a cluster with these objects."""

    def __init__(self, objects: Iterable[Message] = ()) -> None:
        self.caches = make_caches(strategies())
        stored: dict[str, list[tuple[str, bytes, int]]] = {plural: [] for plural in self.caches}
        for obj in objects:
            m, resource = meta(obj), scheme.of_object(obj)
            cache = self.caches[resource.plural]
            raw = cache.kind.envelope.seal(obj.SerializeToString(deterministic=True))
            stored[resource.plural].append((cache.key(m.namespace, m.name), raw, 1))
        for plural, values in stored.items():
            self.caches[plural].replace(values, 1)
        feed: Any = Feed()
        self._authorizer = Authorizer(feed, self.caches)

    async def judge(self, who: User, request: Request, wanted: Message | None = None) -> None:
        """Raise what the gate and the registry would raise; ``wanted`` is the object, one of that name by default."""
        path = pb.ResourcePath(
            group=request.group,
            resource=request.resource,
            namespace=request.namespace,
            name=request.name,
            subresource=request.subresource,
        )
        resource = resource_of(path)
        if wanted is None and request.object_name is not None:
            wanted = message_of(resource, request.subresource)()
            meta(wanted).name, meta(wanted).namespace = request.object_name, request.object_namespace
        a = attributes_of(who, request.verb, resource, path, request.selector, wanted)
        await self._authorizer.check(a)
        check_verb(a, resource)
        admit = admission(a, lambda _: NODE_UID)
        if admit and request.verb == "create":
            admit(wanted, None)
        elif admit and request.verb in ("update", "delete"):
            entry = self.caches[a.resource].get(a.namespace, a.name)
            if entry is not None:  # else the registry says NotFound
                admit(wanted, resource.message.FromString(entry.raw))
