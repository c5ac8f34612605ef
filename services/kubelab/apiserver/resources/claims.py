"""What an object claims, such as an address for itself alone or a part of a quota: records that change in the
transaction that writes it."""

from __future__ import annotations

from typing import NamedTuple

from kubelab.apiserver.storage.store import Condition, Operation


class Claims(NamedTuple):
    """What a transaction does to the records of claims, besides writing the object."""

    conditions: tuple[Condition, ...] = ()
    operations: tuple[Operation, ...] = ()

    def also(self, more: Claims) -> Claims:
        """Give these claims and others."""
        return Claims(self.conditions + more.conditions, self.operations + more.operations)


NO_CLAIMS = Claims()


class RangeFull(Exception):
    """Nothing is left to hand out, as far as the cache knows."""
