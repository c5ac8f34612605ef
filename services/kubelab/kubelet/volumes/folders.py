"""Where a pod's volumes are on the node, and how they are taken away. The names are upstream's::

    <state_dir>/pods/<uid>/volumes/kubernetes.io~configmap/<volume>
    <state_dir>/pods/<uid>/volume-subpaths/<volume>/<container>/<number of the mount>
    <state_dir>/pods/<uid>/plugins/kubernetes.io~empty-dir/<volume>/ready

Only the kubelet's user may enter a pod's folder, so that no program of the node's other users reaches what a container
leaves there. All functions block, and may be called again after half of them was done.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from kubelab.kubelet.volumes.machine import MachineMounts

PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}


class Folders:
    """Those of one node's pods."""

    def __init__(self, state_dir: Path) -> None:
        self._pods = state_dir / "pods"

    def pod(self, uid: str) -> Path:
        return self._pods / uid

    def make(self, uid: str) -> None:
        """Make a pod's folder. OSError."""
        for folder in (self._pods, self.pod(uid)):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def volume(self, uid: str, kind: str, name: str) -> Path:
        return self.pod(uid) / "volumes" / PLUGINS[kind] / name

    def ready(self, uid: str, kind: str, name: str) -> Path:
        return self.pod(uid) / "plugins" / PLUGINS[kind] / name / "ready"

    def sub_path(self, uid: str, volume: str, container: str, number: int) -> Path:
        return self.pod(uid) / "volume-subpaths" / volume / container / str(number)

    def exists(self, uid: str) -> bool:
        return self.pod(uid).is_dir()

    def tear_down(self, uid: str, machine: MachineMounts) -> None:
        """Take away what is mounted in a pod's folder, then the folder. Nothing there is no error. OSError."""
        folder = self.pod(uid)
        if not folder.is_dir():
            return
        machine.unmount_below(folder)  # first: what is mounted is not the kubelet's to remove
        shutil.rmtree(folder)

    def tear_down_others(self, uids: Collection[str], machine: MachineMounts) -> None:
        """Do so for all pods but these: they ended while no kubelet ran. OSError of the first that stays."""
        if not self._pods.is_dir():
            return
        first: OSError | None = None
        for folder in self._pods.iterdir():
            if folder.name in uids:
                continue
            try:
                self.tear_down(folder.name, machine)
            except OSError as err:
                first = first or err
        if first is not None:
            raise first
