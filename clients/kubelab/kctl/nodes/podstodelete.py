"""Which pods of a node ``kctl drain`` takes away, and which hold it up (kubectl's ``drain/filters.go``)."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.meta import get_controller_of

MIRROR = "kubernetes.io/config.mirror"
DAEMON_SET_FATAL = "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"
DAEMON_SET_WARNING = "ignoring DaemonSet-managed Pods"
LOCAL_STORAGE_FATAL = "Pods with local storage (use --delete-emptydir-data to override)"
LOCAL_STORAGE_WARNING = "deleting Pods with local storage"
UNMANAGED_FATAL = "Pods that declare no controller (use --force to override)"
UNMANAGED_WARNING = "deleting Pods that declare no controller"


class Fate(enum.Enum):
    """What becomes of a pod."""

    DELETE = "delete"
    SKIP = "skip"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The flags that let a drain go on."""

    force: bool
    ignore_daemonsets: bool
    delete_emptydir_data: bool
    skip_wait_seconds: int = 0


@dataclass(slots=True)
class PodsToDelete:
    """The pods that go, the warnings about some of them, and what makes the drain impossible."""

    pods: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])
    warnings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    failures: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def warning(self) -> str:
        return "; ".join(f"{message}: {', '.join(pods)}" for message, pods in self.warnings.items())

    @property
    def errors(self) -> list[str]:
        return [f"cannot delete {message}: {', '.join(pods)}" for message, pods in self.failures.items()]


def select(pods: Iterable[core_pb2.Pod], allowed: Allowed, daemon_sets: Collection[str], now: float) -> PodsToDelete:
    """Sort the pods of a node. ``daemon_sets`` are the uids of those that exist, ``now`` is in seconds."""
    chosen = PodsToDelete()
    for pod in pods:
        warnings: list[str] = []
        fate, message = _judge(pod, allowed, daemon_sets, now, warnings)
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if fate is Fate.FATAL:
            chosen.failures.setdefault(message, []).append(name)
        elif fate is Fate.DELETE:
            chosen.pods.append(pod)
        for warning in warnings[-1:]:  # as upstream, the last filter's
            chosen.warnings.setdefault(warning, []).append(name)
    return chosen


def _judge(
    pod: core_pb2.Pod, allowed: Allowed, daemon_sets: Collection[str], now: float, warnings: list[str]
) -> tuple[Fate, str]:
    owner, ended = get_controller_of(pod), is_terminal(pod)
    if owner is not None and owner.kind == "DaemonSet" and not ended:
        if owner.uid not in daemon_sets:
            if not allowed.force:
                return Fate.FATAL, f'daemonsets.apps "{owner.name}" not found'
            warnings.append(f'daemonsets.apps "{owner.name}" not found')
        elif not allowed.ignore_daemonsets:
            return Fate.FATAL, DAEMON_SET_FATAL
        else:
            warnings.append(DAEMON_SET_WARNING)
            return Fate.SKIP, ""
    if MIRROR in pod.metadata.annotations:
        return Fate.SKIP, ""
    if not ended and any(volume.volumeSource.HasField("emptyDir") for volume in pod.spec.volumes):
        if not allowed.delete_emptydir_data:
            return Fate.FATAL, LOCAL_STORAGE_FATAL
        warnings.append(LOCAL_STORAGE_WARNING)
    if not ended and owner is None:
        if not allowed.force:
            return Fate.FATAL, UNMANAGED_FATAL
        warnings.append(UNMANAGED_WARNING)
    deleted = pod.metadata.deletionTimestamp.seconds if pod.metadata.HasField("deletionTimestamp") else 0
    if allowed.skip_wait_seconds > 0 and deleted and now - deleted > allowed.skip_wait_seconds:
        return Fate.SKIP, ""
    return Fate.DELETE, ""
