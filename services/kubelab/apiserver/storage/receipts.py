"""Receipts: how the store knows what became of a transaction that etcd did not answer.

The objects that a transaction writes cannot tell: another writer may have written the same bytes, and a key that is
gone may have been deleted by another writer. So every transaction writes one more key, its receipt. A receipt belongs
to one process and to one transaction at a time. The transaction compares the receipt's revision and puts a number there
that was never used before.

::

    etcd has, when the transaction was not answered     then the transaction
    the number                                          took effect, at the key's revision
    the revision that it compared                       has not taken effect yet: it may still be on its way

In the second case the receipt is deleted, in a transaction with the same comparison. No revision ever comes back, so
after that the first transaction can never take effect, whichever member it waits in.

What is left of processes that have ended is removed by :mod:`kubelab.apiserver.storage.compaction`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import count

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.storage.etcdconvert import transaction
from kubelab.apiserver.storage.members import Members
from kubelab.apiserver.storage.store import Delete, KeyValue, Put, Unchanged

ROOT = "/kubelab/receipts/"
KEPT_SECONDS = 600.0  # a receipt that was not written for so long may be removed by any api-server
FRESH_SECONDS = KEPT_SECONDS / 10  # after the last use; an older one is not used again


@dataclass(slots=True)
class Receipt:
    """``revision`` is the key's before the transaction, ``number`` what the transaction writes there."""

    key: str
    revision: int
    number: bytes = b""
    sent: float = 0.0  # monotonic seconds

    def condition(self) -> Unchanged:
        """What the transaction compares besides its own conditions."""
        return Unchanged(self.key, self.revision)

    def operation(self) -> Put:
        """What it does besides its own operations."""
        return Put(self.key, self.number)

    def written(self, stored: KeyValue | None) -> bool:
        """Say whether etcd holds what the transaction writes."""
        return stored is not None and stored.value == self.number

    def untouched(self, stored: KeyValue | None) -> bool:
        """Say whether etcd holds what was there before the transaction."""
        return stored is not None and stored.mod_revision == self.revision


class Receipts:
    """The receipts of one process. One that :meth:`take` gave comes back by :meth:`give_back`, or never: a transaction
    that was cancelled, or whose outcome stays unknown, keeps it."""

    def __init__(self, members: Members, clock: Clock) -> None:
        self._members, self._clock = members, clock
        self._free: list[Receipt] = []  # the one that was used last is used first: the others grow old and go
        self._owner = uuid.uuid4().hex[:12]
        self._names, self._numbers = count(1), count(1)

    async def take(self) -> Receipt:
        """A receipt for one transaction. Raises what etcd says when it cannot write a new one."""
        now = self._clock.monotonic()
        if self._free and now - self._free[-1].sent > FRESH_SECONDS:
            self._free.clear()  # even the youngest may be removed soon
        receipt = self._free.pop() if self._free else await self._create()
        receipt.number = b"%d" % next(self._numbers)
        receipt.sent = now
        return receipt

    def give_back(self, receipt: Receipt, revision: int) -> None:
        """Take back a receipt that etcd has at this revision, for certain."""
        receipt.revision = revision
        self._free.append(receipt)

    async def settle(self, receipt: Receipt) -> int:
        """Find out what became of a transaction that was not answered, and let it have no effect from now on.

        Gives the revision at which it took effect, or 0 when it did not and never will. Raises Unavailable when that
        cannot be told.
        """
        fence = transaction([receipt.condition()], [Delete(receipt.key)])
        answer = await self._members.read(lambda member: member.txn, fence)
        if answer.succeeded:
            return 0
        stored = answer.responses[0].response_range.kvs
        if not stored and self._clock.monotonic() - receipt.sent < KEPT_SECONDS / 2:
            return 0  # deleted by this request itself: an earlier attempt of it was carried out but not answered
        if stored and stored[0].value == receipt.number:
            return stored[0].mod_revision
        raise errors.Unavailable("etcd did not answer, and what became of the request is not known any more")

    async def _create(self) -> Receipt:
        """Each has a name of its own, and nothing in it is a transaction's number: writing it twice does no harm."""
        key = f"{ROOT}{self._owner}/{next(self._names)}"
        answer = await self._members.read(lambda member: member.txn, transaction([], [Put(key, b"")]))
        return Receipt(key, answer.header.revision)
