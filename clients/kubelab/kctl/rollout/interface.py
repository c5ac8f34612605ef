"""What ``kctl rollout`` asks of a kind that has rollouts (kubectl's ``polymorphichelpers``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2

if TYPE_CHECKING:
    from kubelab.client.client import Client


class Revision(NamedTuple):
    """One revision: its number, the pod template, why it was made ("" where that is not told), and the object."""

    number: int
    template: core_pb2.PodTemplateSpec
    cause: str
    obj: Message


class Undo(NamedTuple):
    """``--dry-run`` on the client, or on the server."""

    dry: bool = False
    server_dry: bool = False


class Rollout(Protocol):
    """What ``kctl rollout`` does with one kind. Errors are Failed, with kubectl's words."""

    def status(self, obj: Any, revision: int, /) -> tuple[str, bool]:
        """Tell how far the rollout is, and whether it is over. ``revision`` is the only one that will do, 0 for any."""
        ...

    async def history(self, client: Client, obj: Any, /) -> Sequence[Revision]:
        """Find the revisions, the oldest first."""
        ...

    async def undo(self, client: Client, obj: Any, revision: int, how: Undo, /) -> str:
        """Go back to a revision, 0 for the one before; return what was done."""
        ...
