"""Volumes and mounts as a pod and a pod template describe them."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity
from kubelab.kctl.describe.writer import NONE, Writer, boolean

UNSET = "<unset>"


def mounts(w: Writer, container: core_pb2.Container) -> None:
    """Write where a container has volumes, by path."""
    if not container.volumeMounts:
        w.field("Mounts", NONE, 2)
        return
    w.line("Mounts:", 2)
    for mount in sorted(container.volumeMounts, key=lambda one: one.mountPath):
        flags = ["ro" if mount.readOnly else "rw"]
        if mount.subPath:
            flags.append(f'path="{mount.subPath}"')
        w.line(f"{mount.mountPath} from {mount.name} ({','.join(flags)})", 3)


def write(w: Writer, volumes: Sequence[core_pb2.Volume], indent: str = "") -> None:
    """Write all volumes; a template's are indented."""
    if not volumes:
        w.field(f"{indent}Volumes", NONE)
        return
    w.line(f"{indent}Volumes:")
    for volume in volumes:
        w.line(f"{' ' if indent else ''}{volume.name}:", 1)
        _source(w, volume.volumeSource)


def _source(w: Writer, source: core_pb2.VolumeSource) -> None:
    if source.HasField("hostPath"):
        w.field("Type", "HostPath (bare host directory volume)", 2)
        w.field("Path", source.hostPath.path, 2)
        w.field("HostPathType", source.hostPath.type if source.hostPath.HasField("type") else NONE, 2)
    elif source.HasField("emptyDir"):
        size = source.emptyDir.sizeLimit.string
        w.field("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)", 2)
        w.field("Medium", source.emptyDir.medium, 2)
        w.field("SizeLimit", size if size and quantity.amount(size) > 0 else UNSET, 2)
    elif source.HasField("secret"):
        w.field("Type", "Secret (a volume populated by a Secret)", 2)
        w.field("SecretName", source.secret.secretName, 2)
        w.field("Optional", boolean(source.secret.optional), 2)
    elif source.HasField("configMap"):
        w.field("Type", "ConfigMap (a volume populated by a ConfigMap)", 2)
        w.field("Name", source.configMap.localObjectReference.name, 2)
        w.field("Optional", boolean(source.configMap.optional), 2)
    elif source.HasField("downwardAPI"):
        _downward(w, source.downwardAPI)
    elif source.HasField("projected"):
        _projected(w, source.projected)
    elif source.HasField("persistentVolumeClaim"):
        about = "a reference to a PersistentVolumeClaim in the same namespace"
        w.field("Type", f"PersistentVolumeClaim ({about})", 2)
        w.field("ClaimName", source.persistentVolumeClaim.claimName, 2)
        w.field("ReadOnly", boolean(source.persistentVolumeClaim.readOnly), 2)
    else:
        kind = next((field.name for field, _ in source.ListFields()), "<unknown>")
        w.field("Type", kind[:1].upper() + kind[1:], 2)


def _downward(w: Writer, source: core_pb2.DownwardAPIVolumeSource) -> None:
    w.field("Type", "DownwardAPI (a volume populated by information about the pod)", 2)
    w.line("Items:", 2)
    for item in source.items:
        what = item.fieldRef.fieldPath if item.HasField("fieldRef") else item.resourceFieldRef.resource
        w.line(f"{what} -> {item.path}", 3)


def _projected(w: Writer, source: core_pb2.ProjectedVolumeSource) -> None:
    """As kubectl 1.32: an ``optional`` that is not set is Go's ``<nil>``."""
    w.field("Type", "Projected (a volume that contains injected data from multiple sources)", 2)
    for part in source.sources:
        if part.HasField("secret"):
            w.field("SecretName", part.secret.localObjectReference.name, 2)
            w.field("SecretOptionalName", _optional(part.secret), 2)
        elif part.HasField("downwardAPI"):
            w.field("DownwardAPI", "true", 2)
        elif part.HasField("configMap"):
            w.field("ConfigMapName", part.configMap.localObjectReference.name, 2)
            w.field("ConfigMapOptional", _optional(part.configMap), 2)
        elif part.HasField("serviceAccountToken"):
            w.field("TokenExpirationSeconds", part.serviceAccountToken.expirationSeconds, 2)


def _optional(part: core_pb2.SecretProjection | core_pb2.ConfigMapProjection) -> str:
    return boolean(part.optional) if part.HasField("optional") else "<nil>"
