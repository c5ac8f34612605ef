"""The objects that a pod needs from its namespace: upstream's ``VisitPodSecretNames`` and ``VisitPodConfigmapNames``
(``pkg/api/v1/pod/util.go``). The Node authoriser, NodeRestriction and the kubelet go by these functions."""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.api.core.v1 import core_pb2

AnyContainer = core_pb2.Container | core_pb2.EphemeralContainerCommon


def config_map_names(spec: core_pb2.PodSpec) -> set[str]:
    """Give the names of the config maps that a pod refers to."""
    names = {name for container in _containers(spec) for name in container_config_map_names(container)}
    for volume in spec.volumes:
        names |= volume_config_map_names(volume.volumeSource)
    return names


def secret_names(spec: core_pb2.PodSpec) -> set[str]:
    """Give the names of the secrets that a pod refers to."""
    names = {name for container in _containers(spec) for name in container_secret_names(container)}
    names |= {reference.name for reference in spec.imagePullSecrets}
    for volume in spec.volumes:
        names |= volume_secret_names(volume.volumeSource)
    return names


def _containers(spec: core_pb2.PodSpec) -> Iterator[AnyContainer]:
    yield from spec.initContainers
    yield from spec.containers
    for container in spec.ephemeralContainers:
        yield container.ephemeralContainerCommon


def volume_config_map_names(source: core_pb2.VolumeSource) -> set[str]:
    """Give the names of the config maps that a volume refers to."""
    names = {s.configMap.localObjectReference.name for s in source.projected.sources if s.HasField("configMap")}
    return names | {source.configMap.localObjectReference.name} if source.HasField("configMap") else names


def volume_secret_names(source: core_pb2.VolumeSource) -> set[str]:
    """Give the names of the secrets that a volume refers to."""
    return set(_secrets_of(source))


def _secrets_of(source: core_pb2.VolumeSource) -> Iterator[str]:
    if source.HasField("secret"):
        yield source.secret.secretName
    if source.HasField("azureFile"):
        yield source.azureFile.secretName
    if source.HasField("csi") and source.csi.HasField("nodePublishSecretRef"):
        yield source.csi.nodePublishSecretRef.name
    for part in source.projected.sources:
        if part.HasField("secret"):
            yield part.secret.localObjectReference.name
    for old in (
        source.cephfs, source.cinder, source.flexVolume, source.iscsi, source.rbd, source.scaleIO, source.storageos
    ):  # fmt: skip
        if old.HasField("secretRef"):
            yield old.secretRef.name


def container_config_map_names(container: AnyContainer) -> set[str]:
    """Give the names of the config maps that a container's environment refers to."""
    whole = {s.configMapRef.localObjectReference.name for s in container.envFrom if s.HasField("configMapRef")}
    sources = (variable.valueFrom for variable in container.env)
    keys = {s.configMapKeyRef.localObjectReference.name for s in sources if s.HasField("configMapKeyRef")}
    return whole | keys


def container_secret_names(container: AnyContainer) -> set[str]:
    """Give the names of the secrets that a container's environment refers to."""
    whole = {s.secretRef.localObjectReference.name for s in container.envFrom if s.HasField("secretRef")}
    sources = (variable.valueFrom for variable in container.env)
    keys = {s.secretKeyRef.localObjectReference.name for s in sources if s.HasField("secretKeyRef")}
    return whole | keys
