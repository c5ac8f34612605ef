"""Volumes of a pod and where its containers mount them: defaults and rules, in the words of upstream's ValidateVolumes
and ValidateVolumeMounts. What a volume shows as files has its rules in :mod:`volumefiles`."""

from __future__ import annotations

from collections.abc import Collection

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names, quantity
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, volumefiles

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip


def default(spec: core_pb2.PodSpec) -> None:
    """A volume without a source is an empty folder; files have the mode 0644."""
    for volume in spec.volumes:
        source = volume.volumeSource
        if not source.ListFields():
            source.emptyDir.SetInParent()
        elif source.HasField("hostPath") and not source.hostPath.HasField("type"):
            source.hostPath.type = ""
        else:
            volumefiles.default(source)


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
            complaints += _host_path(source.hostPath, f"{field}.hostPath")
        case "emptyDir" if quantity.amount(source.emptyDir.sizeLimit.string or "0") < 0:
            detail = "SizeLimit field must be a valid resource quantity"
            complaints.append(causes.forbidden(f"{field}.emptyDir.sizeLimit", detail))
        case kind:
            complaints += volumefiles.validate(source, kind, f"{field}.{kind}")
    return complaints


def _host_path(source: core_pb2.HostPathVolumeSource, field: str) -> list[Cause]:
    if not source.path:
        return [causes.required(f"{field}.path")]
    complaints: list[Cause] = []
    if ".." in source.path.split("/"):
        complaints.append(causes.invalid(f"{field}.path", source.path, "must not contain '..'"))
    if source.type not in HOST_PATH_TYPES:
        complaints.append(causes.unsupported(f"{field}.type", source.type, HOST_PATH_TYPES))
    return complaints


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
        if mount.subPath:
            complaints += causes.descending_path(f"{here}.subPath", mount.subPath)
        if mount.subPathExpr:
            if mount.subPath:
                detail = "subPathExpr and subPath are mutually exclusive"
                complaints.append(causes.invalid(f"{here}.subPathExpr", mount.subPathExpr, detail))
            complaints += causes.descending_path(f"{here}.subPathExpr", mount.subPathExpr)
    return complaints
