"""emptyDir: a folder that lives as long as its pod, on the node's disk or in its memory.

https://kubernetes.io/docs/concepts/storage/volumes/#emptydir
"""

from __future__ import annotations

from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity
from kubelab.kubelet.volumes import ownership
from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.kubelet.volumes.machine import MachineMounts

MODE = 0o777
DISK, MEMORY = "", "Memory"


def set_up(
    folder: Path, ready: Path, pod: core_pb2.Pod, source: core_pb2.EmptyDirVolumeSource, machine: MachineMounts
) -> None:
    """Make the folder; once it is ``ready``, which that file says, the pod's containers own what is in it. Blocks.
    OSError, VolumeError."""
    if source.medium not in (DISK, MEMORY):
        raise VolumeError(f'kubelab has no storage of the medium "{source.medium}": expected "" or "{MEMORY}"')
    mounted = source.medium == DISK or machine.is_mounted(folder)
    if mounted and ready.exists() and folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not mounted:
        size = _size(pod, source)
        machine.tmpfs(folder, f"mode={MODE:o}{f',size={size}' if size else ''}")

    def adapt() -> None:
        folder.chmod(MODE)
        ownership.give(folder, ownership.group_of(pod), read_only=False)

    machine.do(adapt)
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.touch()


def _size(pod: core_pb2.Pod, source: core_pb2.EmptyDirVolumeSource) -> int:
    """Bytes, 0 for the kernel's default: the smaller one of ``sizeLimit`` and what all containers may use together."""
    limits = [c.resources.limits for c in pod.spec.containers]
    memory = [quantity.value(one["memory"]) for one in limits if "memory" in one]
    bounds = [sum(memory)] if len(memory) == len(limits) else []
    if source.HasField("sizeLimit") and (size := quantity.value(source.sizeLimit)) > 0:
        bounds.append(size)
    return min(bounds, default=0)
