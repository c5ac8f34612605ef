"""The objects that a pod needs from its namespace: upstream's ``VisitPodSecretNames`` and ``VisitPodConfigmapNames``
(``pkg/api/v1/pod/util.go``). The Node authoriser, NodeRestriction and the kubelet go by these functions."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2


def config_map_names(spec: core_pb2.PodSpec) -> set[str]:
    """Give the names of the config maps that a pod refers to."""
    return {name for container in spec.containers for name in container_config_map_names(container)}


def secret_names(spec: core_pb2.PodSpec) -> set[str]:
    """Give the names of the secrets that a pod refers to."""
    return {name for container in spec.containers for name in container_secret_names(container)}


def container_config_map_names(container: core_pb2.Container) -> set[str]:
    """Give the names of the config maps that a container's environment refers to."""
    whole = {s.configMapRef.localObjectReference.name for s in container.envFrom if s.HasField("configMapRef")}
    sources = (variable.valueFrom for variable in container.env)
    keys = {s.configMapKeyRef.localObjectReference.name for s in sources if s.HasField("configMapKeyRef")}
    return whole | keys


def container_secret_names(container: core_pb2.Container) -> set[str]:
    """Give the names of the secrets that a container's environment refers to."""
    whole = {s.secretRef.localObjectReference.name for s in container.envFrom if s.HasField("secretRef")}
    sources = (variable.valueFrom for variable in container.env)
    keys = {s.secretKeyRef.localObjectReference.name for s in sources if s.HasField("secretKeyRef")}
    return whole | keys
