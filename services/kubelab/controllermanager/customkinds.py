"""The kinds that CustomResourceDefinitions add, for the controllers that care for objects of every kind.

A kind is followed from when its definition is established until that goes. Its informer is no part of what the process
waits for at its start: a definition that cannot be served would hold up every controller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from google.protobuf.message import Message

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import scheme
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import CUSTOM_RESOURCE_DEFINITIONS, Resource

if TYPE_CHECKING:
    from kubelab.client.informer import Informer

Follow = Callable[[Resource[Message], "Informer[Any]"], None]
Forget = Callable[[Resource[Message]], None]


class Informers(Protocol):
    """Where informers come from."""

    def of(self, resource: Resource[Any], /) -> Informer[Any]: ...

    def of_custom(self, resource: Resource[Message], /) -> Informer[Any]: ...

    def drop(self, resource: Resource[Message], /) -> None: ...


class CustomKinds:
    """Tells its listeners of each kind, and of the end of each."""

    def __init__(self, informers: Informers) -> None:
        self._informers = informers
        self._followed: dict[str, Resource[Message]] = {}  # by the definition's name
        self._listeners: list[tuple[Follow, Forget]] = []
        definitions = informers.of(CUSTOM_RESOURCE_DEFINITIONS)
        definitions.add_handler(on_add=self._define, on_update=lambda _, new: self._define(new), on_delete=self._end)

    def on_change(self, follow: Follow, forget: Forget) -> None:
        """Call ``follow`` for each kind, those that are known already among them, and ``forget`` at its end."""
        self._listeners.append((follow, forget))
        for resource in self._followed.values():
            follow(resource, self._informers.of_custom(resource))

    @property
    def resources(self) -> list[Resource[Message]]:
        return list(self._followed.values())

    def by_kind(self, api_version: str, kind: str) -> Resource[Message] | None:
        """Find the kind that a reference names, in whichever version."""
        group = api_version.rpartition("/")[0]
        return next((r for r in self._followed.values() if (r.group, r.kind) == (group, kind)), None)

    def _define(self, crd: pb.CustomResourceDefinition) -> None:
        resource = resource_of(crd)
        before = self._followed.get(crd.metadata.name)
        if before is not None and (resource is None or _differs(before, resource)):
            self._end(crd)
            before = None
        if resource is None or before is not None:
            return
        self._followed[crd.metadata.name] = resource
        scheme.learn_one(resource)
        for follow, _ in self._listeners:
            follow(resource, self._informers.of_custom(resource))

    def _end(self, crd: pb.CustomResourceDefinition) -> None:
        resource = self._followed.pop(crd.metadata.name, None)
        if resource is None:
            return
        self._informers.drop(resource)
        for _, forget in self._listeners:
            forget(resource)


def resource_of(crd: pb.CustomResourceDefinition) -> Resource[Message] | None:
    """Give the resource of a kind that is served, in the version that is stored; None for one that is not."""
    established = any(c.type == "Established" and c.status == "True" for c in crd.status.conditions)
    served = sorted((v for v in crd.spec.versions if v.served), key=lambda v: not v.storage)
    if not established or not served or is_terminating(crd):
        return None
    names = crd.status.acceptedNames
    return Resource(
        plural=names.plural,
        singular=names.singular,
        kind=names.kind,
        message=cast("type[Message]", CustomObject),
        columns=(),
        group=crd.spec.group,
        version=served[0].name,
        namespaced=crd.spec.scope == "Namespaced",
    )


def _differs(one: Resource[Message], other: Resource[Message]) -> bool:
    return (one.api_version, one.plural, one.kind) != (other.api_version, other.plural, other.kind)
