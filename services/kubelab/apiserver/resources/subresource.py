"""Subresources, and resources that are only passed through: what each can do, and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.writes import Decide, WriteResult
from kubelab.apiserver.watchcache.changes import Entry
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User


class Objects(Protocol):
    """The stored objects, as actions read and write them, and who may do what with them."""

    @property
    def clock(self) -> Clock: ...

    async def entry(self, resource: Resource[Message], namespace: str, name: str) -> Entry:
        """Read one object as it is now; NotFound."""
        ...

    async def entries(self, resource: Resource[Message], namespace: str) -> Sequence[Entry]:
        """Read all objects of a namespace as they are now."""
        ...

    async def delete(
        self, resource: Resource[Message], namespace: str, name: str, options: meta_pb2.DeleteOptions
    ) -> WriteResult:
        """Begin or complete a deletion; NotFound, Conflict where a precondition does not hold."""
        ...

    async def decide(self, a: Attributes) -> tuple[bool, str]:
        """Say whether a request with these attributes would be allowed, and why or why not where that is known."""
        ...

    async def rules_of(self, user: User, namespace: str) -> Sequence[Rule]:
        """Give all rules that roles give a user in a namespace."""
        ...

    async def rewrite(self, resource: Resource[Message], namespace: str, name: str, decide: Decide) -> WriteResult:
        """Change one object, or in a dry run say how; NotFound, and what the decision raises."""
        ...


Action = Callable[[Objects, Request], Awaitable[Message]]
"""Does what a request asks and gives the answer. It notes in the request what it wrote."""


ListAction = Callable[[Objects, Request], Awaitable[Sequence[Message]]]
"""Gives all objects of a resource that is not stored."""


@dataclass(frozen=True, slots=True)
class Subresource:
    """A verb with an action is that action; one without reads or writes the whole object, of which an update changes
    what ``part`` takes over (None: what the strategy's status update does). ``message`` is what a write carries, None
    for the kind's own. A patch of what has actions of its own is a get and an update. A ``streamed`` one is read
    through a service of its own."""

    verbs: tuple[str, ...]
    message: type[Message] | None = None
    get: Action | None = None
    list: ListAction | None = None
    create: Action | None = None
    update: Action | None = None
    part: Callable[[Any, Any], Message] | None = None
    streamed: bool = False
    applied: Resource[Any] | None = None
    """What server-side apply takes a part with actions of its own for; without it, it cannot be applied."""
    unnamed: bool = False
    """Whether what a write carries may have no name; it gets the path's."""


STATUS = Subresource(("get", "update", "patch"))
CONNECTION = Subresource(("get", "create"), streamed=True)
"""What goes on as a connection: HTTP upgrades a GET, which is the verb get, or a POST, which is create."""
PROXY = Subresource(("get", "create", "update", "patch", "delete"), streamed=True)
"""Requests of HTTP to what the object stands for; the verb is that of the method."""
AUDIT = Subresource(("get",), streamed=True)
"""The records about one object; every kind has it."""
