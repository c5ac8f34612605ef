"""Writes that only a leader may make.

A :class:`Fence` names the Lease that a writer believes to hold, its identity, and the number of changes of leadership.
It travels as the gRPC metadata ``kubelab-fence`` on every write, and the api-server makes it a condition of the
transaction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from kubelab.apimachinery.errors import BadRequest

FENCE = "kubelab-fence"


@dataclass(frozen=True, slots=True)
class Fence:
    """``holder`` holds the Lease ``namespace/name`` since its ``transitions``-th change of hands.

    ``uid`` is the Lease's: one that was deleted and made again counts its changes anew.
    """

    namespace: str
    name: str
    holder: str
    transitions: int
    uid: str = ""

    @property
    def text(self) -> str:
        """``kube-system/kube-scheduler;scheduler@cp-1;3;6ba7b810-9dad-11d1-80b4-00c04fd430c8``."""
        return f"{self.namespace}/{self.name};{self.holder};{self.transitions};{self.uid}"

    @property
    def value(self) -> bytes:
        """The value of the key in etcd while the fence is valid."""
        return f"{self.transitions} {self.uid} {self.holder}".encode()

    @staticmethod
    def holder_in(value: bytes) -> str:
        """Return the leader that a value in etcd names; empty when the last one has released the Lease."""
        return value.decode().split(" ", 2)[-1]

    @classmethod
    def parse(cls, text: str) -> Fence:
        """Read :attr:`text`; BadRequest."""
        lease, _, rest = text.partition(";")
        namespace, _, name = lease.partition("/")
        holder, transitions, uid = rest.rsplit(";", 2) if rest.count(";") > 1 else ("", "", "")
        if not (namespace and name and holder and transitions.isdecimal()):
            raise BadRequest(f"{FENCE}: got {text!r}, expected NAMESPACE/LEASE;HOLDER;TRANSITIONS;UID")
        return cls(namespace, name, holder, int(transitions), uid)


_SENT: ContextVar[Fence | None] = ContextVar("kubelab_sent_fence", default=None)


def outgoing() -> tuple[tuple[str, str], ...]:
    """The metadata of a call that is made now."""
    fence = _SENT.get()
    return ((FENCE, fence.text),) if fence else ()


def incoming(metadata: Iterable[tuple[str, str | bytes]] | None) -> Fence | None:
    """Read what :func:`outgoing` sent; BadRequest."""
    for key, value in metadata or ():
        if key == FENCE and isinstance(value, str):
            return Fence.parse(value)
    return None


@contextlib.contextmanager
def sending(fence: Fence) -> Generator[None]:
    """Let the body's calls carry a fence."""
    token = _SENT.set(fence)
    try:
        yield
    finally:
        _SENT.reset(token)
