"""Conditions in any object's status: find one by type, and set one; only a new status changes its transition time.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions; set as upstream's
``apimachinery/pkg/api/meta/conditions.go`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import timestamps

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


class Condition(Protocol):
    """The fields that conditions of all kinds share: a protocol, because generated messages have no common base."""

    type: str
    status: str
    reason: str
    message: str

    @property
    def lastTransitionTime(self) -> meta_pb2.Time: ...

    def HasField(self, field_name: Any) -> bool: ...


C = TypeVar("C", bound=Condition)


C_co = TypeVar("C_co", bound=Condition, covariant=True)


class Conditions(Protocol[C_co]):
    """The repeated field of a status."""

    def __iter__(self) -> Iterator[C_co]: ...

    def add(self, *, type: str) -> C_co: ...


def get_condition(conditions: Iterable[C], kind: str) -> C | None:
    """Find the condition of a type."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Say whether there is a condition of this type and it holds."""
    condition = get_condition(conditions, kind)
    return condition is not None and condition.status == TRUE


def set_condition(
    conditions: Conditions[Any], kind: str, status: str, now: float, *, reason: str = "", message: str = ""
) -> bool:
    """Add or change one condition; False when it says all this already. ``now`` is wall time in seconds.

    Only a changed ``status`` moves the transition time.
    """
    existing = get_condition(conditions, kind)
    if existing is None:
        existing = conditions.add(type=kind)
    elif (existing.status, existing.reason, existing.message) == (status, reason, message):
        return False
    if existing.status != status:
        existing.status = status
        existing.lastTransitionTime.CopyFrom(timestamps.to_time(now))
    existing.reason, existing.message = reason, message
    return True


def keep_transition_times(new: Iterable[Condition], last: Iterable[Condition], now: float) -> None:
    """Give freshly computed conditions their transition times: the last one's where the status is the same, else
    ``now``, in seconds."""
    by_type = {c.type: c for c in last}
    for condition in new:
        old = by_type.get(condition.type)
        unchanged = old is not None and old.status == condition.status and old.HasField("lastTransitionTime")
        moved = old.lastTransitionTime if unchanged and old is not None else timestamps.to_time(now)
        condition.lastTransitionTime.CopyFrom(moved)
