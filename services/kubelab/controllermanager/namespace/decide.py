"""What the deletion of a namespace's content is said to have come to: pure functions of what remains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.conditions import set_condition
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.messages import deep_copy


@dataclass(slots=True)
class RemainingContent:
    """What an attempt to empty a namespace left: objects by ``resource.group`` and by finalizer, and why not everything
    could be deleted."""

    objects: Counter[str] = field(default_factory=Counter[str])
    finalizers: Counter[str] = field(default_factory=Counter[str])
    failures: list[ApiError] = field(default_factory=list[ApiError])


def conditions(remains: RemainingContent) -> list[core_pb2.NamespaceCondition]:
    """Say in upstream's words how far the deletion came (``status_condition_utils.go``).

    The first two never fail here: which resources there are is known without asking.
    """
    objects = [f"{name} has {count} resource instances" for name, count in remains.objects.items()]
    finalizers = [f"{name} in {count} resource instances" for name, count in remains.finalizers.items()]
    failures = [failure.message for failure in remains.failures]
    counted = f"Failed to delete all resource types, {len(failures)} remaining"
    return [
        _fine("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        _fine(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _told("NamespaceDeletionContentFailure", "ContentDeletionFailed", counted, failures)
        or _fine(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _told("NamespaceContentRemaining", "SomeResourcesRemain", "Some resources are remaining", objects)
        or _fine("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
        _told(
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining",
            finalizers,
        )
        or _fine("NamespaceFinalizersRemaining", "ContentRemoved", "All content successfully removed"),
    ]


def _fine(kind: str, reason: str, message: str) -> core_pb2.NamespaceCondition:
    return core_pb2.NamespaceCondition(type=kind, status="False", reason=reason, message=message)


def _told(kind: str, reason: str, what: str, details: Iterable[str]) -> core_pb2.NamespaceCondition | None:
    listed = ", ".join(sorted(details))
    if not listed:
        return None
    return core_pb2.NamespaceCondition(type=kind, status="True", reason=reason, message=f"{what}: {listed}")


def with_conditions(
    namespace: core_pb2.Namespace, new_conditions: Iterable[core_pb2.NamespaceCondition], now: float
) -> core_pb2.Namespace | None:
    """Copy a namespace with conditions; None when it says so already. ``now`` is wall time in seconds."""
    changed = deep_copy(namespace)
    for condition in new_conditions:
        kind, status = condition.type, condition.status
        set_condition(changed.status.conditions, kind, status, now, reason=condition.reason, message=condition.message)
    return None if changed == namespace else changed
