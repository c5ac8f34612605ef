"""The files of a volume that shows objects: config maps, secrets, fields of the pod, tokens. Pure: what a volume refers
to is read beforehand and given in. The words are upstream's (``pkg/volume/configmap``, ``secret``, ``projected``).

https://kubernetes.io/docs/concepts/storage/projected-volumes/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.containers.environment import ConfigError, Sources, field_value
from kubelab.kubelet.volumes.atomicwriter import File
from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.kubelet.volumes.resourcefields import resource_value

FILES = ("configMap", "secret", "downwardAPI", "projected")
"""The kinds of volumes that show objects; containers have them read-only."""
DEFAULT_MODE = 0o644
TOKEN_MODE = 0o600  # where the pod says whose its processes are; else the volume's own mode
Files = dict[str, File]


@dataclass(frozen=True, slots=True)
class Given:
    """What volumes are made of. A name that is missing in a mapping does not exist in the cluster."""

    pod: core_pb2.Pod
    config_maps: Mapping[str, core_pb2.ConfigMap] = field(default_factory=dict[str, core_pb2.ConfigMap])
    secrets: Mapping[str, core_pb2.Secret] = field(default_factory=dict[str, core_pb2.Secret])
    tokens: Mapping[int, str] = field(default_factory=dict[int, str])
    """Of one projected volume, by the number of its source."""
    allocatable: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the node: what a container has that sets no limit."""
    user: int | None = None
    group: int | None = None


def files_of(source: core_pb2.VolumeSource, given: Given) -> Files:
    """The files of a volume. VolumeError for a reference that leads nowhere, and for another type of volume."""
    if source.HasField("configMap"):
        one = source.configMap
        name = one.localObjectReference.name
        return _config_map(name, one.items, one.optional, _mode(one), given)
    if source.HasField("secret"):
        one = source.secret
        return _secret(one.secretName, one.items, one.optional, _mode(one), given)
    if source.HasField("downwardAPI"):
        return _downward(source.downwardAPI.items, _mode(source.downwardAPI), given)
    if source.HasField("projected"):
        return _projected(source.projected, given)
    raise VolumeError(f"no volume of files: {source.ListFields()[0][0].name}")


def _mode(
    source: core_pb2.ConfigMapVolumeSource
    | core_pb2.SecretVolumeSource
    | core_pb2.DownwardAPIVolumeSource
    | core_pb2.ProjectedVolumeSource,
) -> int:
    return source.defaultMode if source.HasField("defaultMode") else DEFAULT_MODE


def _projected(source: core_pb2.ProjectedVolumeSource, given: Given) -> Files:
    files: Files = {}
    mode = _mode(source)
    for number, part in enumerate(source.sources):
        if part.HasField("configMap"):
            name = part.configMap.localObjectReference.name
            files |= _config_map(name, part.configMap.items, part.configMap.optional, mode, given)
        elif part.HasField("secret"):
            name = part.secret.localObjectReference.name
            files |= _secret(name, part.secret.items, part.secret.optional, mode, given)
        elif part.HasField("downwardAPI"):
            files |= _downward(part.downwardAPI.items, mode, given)
        elif part.HasField("serviceAccountToken"):
            private = given.user is not None or given.group is not None
            text = given.tokens[number].encode()
            files[part.serviceAccountToken.path] = File(text, TOKEN_MODE if private else mode, given.user)
        elif part.HasField("clusterTrustBundle"):
            raise VolumeError("kubelab has no cluster trust bundles: clusterTrustBundle")
    return files


def _config_map(name: str, items: Iterable[core_pb2.KeyToPath], optional: bool, mode: int, given: Given) -> Files:
    found = given.config_maps.get(name)
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    content = {key: text.encode() for key, text in found.data.items()} | dict(found.binaryData)
    return _keys(content, items, optional, mode, "configmap references non-existent config key")


def _secret(name: str, items: Iterable[core_pb2.KeyToPath], optional: bool, mode: int, given: Given) -> Files:
    found = given.secrets.get(name)
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found')
    return _keys(found.data, items, optional, mode, "references non-existent secret key")


def _keys(
    content: Mapping[str, bytes], items: Iterable[core_pb2.KeyToPath], optional: bool, mode: int, missing: str
) -> Files:
    wanted = list(items)
    if not wanted:
        return {key: File(value, mode) for key, value in content.items()}
    files: Files = {}
    for item in wanted:
        if item.key in content:
            files[item.path] = File(content[item.key], item.mode if item.HasField("mode") else mode)
        elif not optional:
            raise VolumeError(f"{missing}: {item.key}")
    return files


def _downward(items: Iterable[core_pb2.DownwardAPIVolumeFile], mode: int, given: Given) -> Files:
    files: Files = {}
    for item in items:
        if item.HasField("fieldRef"):
            try:
                text = field_value(given.pod, item.fieldRef.fieldPath, Sources())
            except ConfigError as err:
                raise VolumeError(str(err)) from err
        else:
            ref = item.resourceFieldRef
            text = resource_value(given.pod, ref, ref.containerName, given.allocatable)
        files[item.path] = File(text.encode(), item.mode if item.HasField("mode") else mode)
    return files
