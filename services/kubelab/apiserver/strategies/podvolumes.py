"""Volumes of a pod and where its containers mount them: defaults and rules, in the words of upstream's ValidateVolumes
and ValidateVolumeMounts. Of the sources, paths of the node, secrets and config maps have rules for their contents."""

from __future__ import annotations

from collections.abc import Collection

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes


def default(spec: core_pb2.PodSpec) -> None:
    """A volume without a source is an empty folder."""
    for volume in spec.volumes:
        if not volume.volumeSource.ListFields():
            volume.volumeSource.emptyDir.SetInParent()


def validate(spec: core_pb2.PodSpec, field: str) -> list[Cause]:
    """All complaints about the volumes."""
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, volume in enumerate(spec.volumes):
        here = f"{field}[{i}]"
        complaints += _source(volume.volumeSource, here)
        if not volume.name:
            complaints.append(causes.required(f"{here}.name"))
        elif problems := names.dns_label(volume.name):
            complaints += causes.each(f"{here}.name", volume.name, problems)
        elif volume.name in seen:
            complaints.append(causes.duplicate(f"{here}.name", volume.name))
        seen.add(volume.name)
    return complaints


def _source(source: core_pb2.VolumeSource, field: str) -> list[Cause]:
    # Upstream asks for an empty folder first, and takes the others by their numbers.
    given = sorted((kind.name for kind, _ in source.ListFields()), key=lambda name: name != "emptyDir")
    complaints = causes.exactly_one(field, given, "volume")
    match given[0] if given else "":
        case "hostPath":
            complaints += _host_path(source.hostPath.path, f"{field}.hostPath.path")
        case "secret" if not source.secret.secretName:
            complaints.append(causes.required(f"{field}.secret.secretName"))
        case "configMap" if not source.configMap.localObjectReference.name:
            complaints.append(causes.required(f"{field}.configMap.name"))
        case _:
            pass
    return complaints


def _host_path(path: str, field: str) -> list[Cause]:
    if not path:
        return [causes.required(field)]
    return [causes.invalid(field, path, "must not contain '..'")] if ".." in path.split("/") else []


def validate_mounts(container: core_pb2.Container, field: str, volumes: Collection[str]) -> list[Cause]:
    """All complaints about a container's mounts; ``volumes`` are the names of its pod's."""
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, mount in enumerate(container.volumeMounts):
        here = f"{field}[{i}]"
        if not mount.name:
            complaints.append(causes.required(f"{here}.name"))
        elif mount.name not in volumes:
            complaints.append(causes.not_found(f"{here}.name", mount.name))
        if not mount.mountPath:
            complaints.append(causes.required(f"{here}.mountPath"))
        elif mount.mountPath in seen:
            complaints.append(causes.invalid(f"{here}.mountPath", mount.mountPath, "must be unique"))
        seen.add(mount.mountPath)
    return complaints
