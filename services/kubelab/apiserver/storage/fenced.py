"""Fencing: what a leader writes is written only while it leads.

A leader that was frozen does not know that another one has taken over. Its writes carry what it believes
(:mod:`kubelab.rpc.fencing`), and the transaction of each of them compares that with what etcd holds: a key beside
the Lease, written in the Lease's own transaction. So no write of an old leader comes after a new one's election,
whenever it was sent and however long it was on its way.
https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar

from google.protobuf.message import Message

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery import errors
from kubelab.apiserver.storage.observed import ObservedStore
from kubelab.apiserver.storage.store import Condition, Delete, Holds, Operation, Outcome, Put
from kubelab.rpc.fencing import Fence

ROOT = "/kubelab/fences/"
HEARTBEATS = "kube-node-lease"  # Leases that elect no leader

FENCE: ContextVar[Fence | None] = ContextVar("kubelab_fence", default=None)


class FencedStore(ObservedStore):
    """Adds to each transaction that the request's leader still leads. Raises Conflict, and writes nothing, if not."""

    async def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> Outcome:
        fence = FENCE.get()
        if fence is None:
            return await super().transact(conditions, operations)
        held = Holds(key(fence.namespace, fence.name), fence.value)
        outcome = await super().transact([*conditions, held], operations)
        stored = None if outcome.succeeded else outcome.current[held.key]
        if not outcome.succeeded and (stored is None or stored.value != fence.value):
            leader = "" if stored is None else Fence.holder_in(stored.value)
            message = f"{fence.holder} does not lead any more, {leader or 'nobody'} does"
            raise errors.conflict("leases", fence.name, message, "coordination.k8s.io")
        return outcome


def key(namespace: str, name: str) -> str:
    """Where a Lease's fence is."""
    return f"{ROOT}{namespace}/{name}"


def along(lease: Message | None, namespace: str, name: str) -> list[Operation]:
    """What is written along with a Lease, or along with its removal when it is None.

    It is written with every renewal: so a fence that was lost is there again after the next renewal, at the cost of a
    key."""
    if namespace == HEARTBEATS:
        return []
    if not isinstance(lease, coordination_pb2.Lease):
        return [Delete(key(namespace, name))]
    fence = Fence(namespace, name, lease.spec.holderIdentity, lease.spec.leaseTransitions, lease.metadata.uid)
    return [Put(key(namespace, name), fence.value)]
