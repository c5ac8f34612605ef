"""What an object claims for itself alone, such as an address: records that change in the transaction that writes it."""

from __future__ import annotations

from typing import NamedTuple

from kubelab.apiserver.storage.store import Absent, Operation


class Claims(NamedTuple):
    """What a transaction does to the records of claims, besides writing the object."""

    conditions: tuple[Absent, ...] = ()
    operations: tuple[Operation, ...] = ()


NO_CLAIMS = Claims()


class RangeFull(Exception):
    """Nothing is left to hand out, as far as the cache knows."""
