"""What the api-server knows of one kind: how it is checked, stored, printed, and what is written along with it.

Each kind has a package, ``resources/<group>/<plural>``, whose ``storage`` makes one of these. Registry, reads, tables
and discovery take everything from it; they name no kind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.authn.serviceaccounts import Proven
from kubelab.apiserver.authn.tokens import Tokens
from kubelab.apiserver.resources import deletion
from kubelab.apiserver.resources.claims import Claims
from kubelab.apiserver.resources.subresource import Subresource
from kubelab.apiserver.storage.store import Operation
from kubelab.apiserver.storage.wire import Envelope
from kubelab.apiserver.strategies.rules import Rules

Row = Callable[[Any, float], list[str]]
"""Gives one cell for each of the resource's columns, at a time in seconds since the epoch."""


class Allocator(Protocol):
    """Hands out what two objects must not both have. Its claims change in the transaction that writes the object."""

    def keep(self, new: Any, old: Any, /) -> None:
        """Give an update what it leaves open and the object has already."""
        ...

    def claim(self, new: Any, old: Any, taken: set[str], /) -> Claims:
        """Fill in what an object asks for. ``taken`` are claims that turned out to be another object's. Invalid;
        RangeFull when nothing is left, as far as the cache knows."""
        ...

    def release(self, obj: Any, /) -> Claims:
        """Give back all that an object holds."""
        ...


def no_companions(obj: Message | None, namespace: str, name: str) -> list[Operation]:
    """Write nothing along with an object."""
    del obj, namespace, name
    return []


@dataclass(frozen=True, eq=False, slots=True)
class ResourceStorage:
    """One kind. Two kinds share nothing, not even when their plurals are the same."""

    resource: Resource[Any]
    strategy: Rules
    row: Row
    envelope: Envelope | None = None
    """How its objects are stored, where that is not as all are."""
    served: bool = True
    """Whether requests find it. A version that is only stored is kept for the other ones."""
    path: str = ""
    """Where its objects are below ``/registry/``; empty: ``<plural>``, or ``<group>/<plural>`` outside the core."""
    allocator: Allocator | None = None
    expires: bool = False
    """Whether its objects are written with the lease of events, and go when that ends."""
    companions: Callable[[Message | None, str, str], list[Operation]] = no_companions
    """What is written along with an object (None when it is removed), its namespace and name."""
    decide_deletion: Callable[[Any, meta_pb2.DeleteOptions, Rules, float], deletion.DeletionStep] = deletion.decide
    """Changes an object as a deletion asks, at a wall time, and says what to do with it."""
    finished: Callable[[Any], bool] = deletion.finished
    """Whether nothing holds up an object that is being deleted."""
    returns_deleted: bool = False
    """Whether a deletion over HTTP answers with the object, as some of upstream's registries say, and not with a
    Status."""
    subresources: Mapping[str, Subresource] = field(default_factory=dict[str, Subresource])
    """By name, as in a path."""

    @property
    def prefix(self) -> str:
        """``/registry/pods/``."""
        r = self.resource
        return f"/registry/{self.path or (f'{r.group}/{r.plural}' if r.group else r.plural)}/"


@dataclass(frozen=True, eq=False, slots=True)
class PassedThrough:
    """A resource that is not stored: its verbs are actions."""

    resource: Resource[Any]
    actions: Subresource
    row: Row | None = None
    """Where it can be read, and so printed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of a server's configuration the kinds depend on. ``services`` allocates addresses and ports,
    ``components`` gives the status of the control plane's parts. ``tokens`` signs service accounts' tokens, None where
    the server has no key; ``authenticate`` judges one that is meant for some audiences, by default the api-servers, and
    raises TokenError."""

    services: Allocator | None = None
    components: Callable[[], Awaitable[Sequence[Message]]] | None = None
    tokens: Tokens | None = None
    authenticate: Callable[[str, Sequence[str]], Awaitable[Proven]] | None = None
