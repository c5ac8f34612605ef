"""Where a container has the volumes of its pod. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers.environment import ConfigError, expand
from kubelab.kubelet.volumes.payloads import FILES

_REFERENCE = re.compile(r"(?:[^$]|^)(?:\$\$)*\$\(([^)]*)\)")


def sub_paths(container: core_pb2.Container, variables: Mapping[str, str]) -> dict[int, str]:
    """The parts of volumes that a container mounts, by the number of its mount. ConfigError where ``subPathExpr`` names
    a variable that the container does not have."""
    found: dict[int, str] = {}
    for number, mount in enumerate(container.volumeMounts):
        if mount.subPath:
            found[number] = mount.subPath
        elif mount.subPathExpr:
            if missing := [name for name in _REFERENCE.findall(mount.subPathExpr) if name not in variables]:
                raise ConfigError(f"failed to expand subPath: missing value for {', '.join(map(repr, missing))}")
            found[number] = _inside(expand(mount.subPathExpr, variables))
    return found


def _inside(path: str) -> str:
    """Check what came of a ``subPathExpr``; the api-server has checked what is written. ConfigError."""
    if path.startswith("/"):
        raise ConfigError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise ConfigError(f'unable to provision SubPath `{path}`: must not contain ".."')
    return path


def volume_mounts(
    pod: core_pb2.Pod, container: core_pb2.Container, folders: Mapping[str, Path], parts: Mapping[int, Path]
) -> list[cri.Mount]:
    """The CRI's mounts. ``folders`` are by the volume's name, ``parts`` by the number of the container's mount.

    ConfigError where the pod has no such volume: the api-server refuses that, etcd may hold it."""
    for mount in container.volumeMounts:
        if mount.name not in folders:
            raise ConfigError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
    shown = {v.name for v in pod.spec.volumes if any(v.volumeSource.HasField(kind) for kind in FILES)}
    return [
        cri.Mount(
            container_path=mount.mountPath if mount.mountPath.startswith("/") else f"/{mount.mountPath}",
            host_path=str(parts.get(number, folders[mount.name])),
            readonly=mount.readOnly or mount.name in shown,
        )
        for number, mount in enumerate(container.volumeMounts)
    ]
