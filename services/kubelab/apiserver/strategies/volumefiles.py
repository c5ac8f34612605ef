"""Volumes that show objects as files: config maps, secrets, fields of the pod, tokens. Defaults and rules, in the words
of upstream's validateConfigMapVolumeSource, validateSecretVolumeSource, validateDownwardAPIVolumeSource and
validateProjectedVolumeSource."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.containers import field_reference

MODE = 0o644
TOKEN_SECONDS, LEAST_SECONDS, MOST_SECONDS = 3600, 600, 1 << 32
FIELD_PATHS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_BAD_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_SOURCES = ("secret", "downwardAPI", "configMap", "serviceAccountToken", "clusterTrustBundle")
WithItems = (
    core_pb2.ConfigMapVolumeSource | core_pb2.SecretVolumeSource | core_pb2.ConfigMapProjection
    | core_pb2.SecretProjection
)  # fmt: skip


def default(source: core_pb2.VolumeSource) -> None:
    """Fill in what is not said."""
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if source.HasField(kind) and not getattr(source, kind).HasField("defaultMode"):
            getattr(source, kind).defaultMode = MODE
    _default_fields(source.downwardAPI.items)
    for part in source.projected.sources:
        _default_fields(part.downwardAPI.items)
        if part.HasField("serviceAccountToken") and not part.serviceAccountToken.HasField("expirationSeconds"):
            part.serviceAccountToken.expirationSeconds = TOKEN_SECONDS


def _default_fields(items: Iterable[core_pb2.DownwardAPIVolumeFile]) -> None:
    for item in items:
        if item.HasField("fieldRef") and not item.fieldRef.apiVersion:
            item.fieldRef.apiVersion = "v1"


def validate(source: core_pb2.VolumeSource, kind: str, field: str) -> list[Cause]:
    """All complaints about a source of this kind; none about a kind that shows no files."""
    match kind:
        case "secret":
            one = source.secret
            missing = [] if one.secretName else [causes.required(f"{field}.secretName")]
            return [*missing, *_mode(one.defaultMode, f"{field}.defaultMode"), *_items(one, field)]
        case "configMap":
            one = source.configMap
            missing = [] if one.localObjectReference.name else [causes.required(f"{field}.name")]
            return [*missing, *_mode(one.defaultMode, f"{field}.defaultMode"), *_items(one, field)]
        case "downwardAPI":
            complaints = _mode(source.downwardAPI.defaultMode, f"{field}.defaultMode")
            for i, item in enumerate(source.downwardAPI.items):
                complaints += _downward(item, f"{field}.items[{i}]")  # upstream leaves the number out
            return complaints
        case "projected":
            return _projected(source.projected, field)
        case _:
            return []


def _mode(mode: int, field: str) -> list[Cause]:
    return [] if 0 <= mode <= 0o777 else [causes.invalid(field, mode, _BAD_MODE)]


def _items(source: WithItems, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for i, item in enumerate(source.items):
        here = f"{field}.items[{i}]"
        if not item.key:
            complaints.append(causes.required(f"{here}.key"))
        complaints += _file_path(item.path, f"{here}.path")
        complaints += _mode(item.mode, f"{here}.mode")
    return complaints


def _file_path(path: str, field: str) -> list[Cause]:
    if not path:
        return [causes.required(field)]
    complaints = causes.descending_path(field, path)
    if path.startswith("..") and not path.startswith("../") and path != "..":
        complaints.append(causes.invalid(field, path, "must not start with '..'"))
    return complaints


def _downward(item: core_pb2.DownwardAPIVolumeFile, field: str) -> list[Cause]:
    complaints = _file_path(item.path, f"{field}.path")
    by_field, by_resource = item.HasField("fieldRef"), item.HasField("resourceFieldRef")
    if by_field and by_resource:
        complaints.append(
            causes.invalid(field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        )
    elif by_field:
        complaints += field_reference(item.fieldRef, f"{field}.fieldRef", FIELD_PATHS)
    elif by_resource:
        for name in ("containerName", "resource"):
            if not getattr(item.resourceFieldRef, name):
                complaints.append(causes.required(f"{field}.resourceFieldRef.{name}"))
    else:
        complaints.append(causes.required(field, "one of fieldRef and resourceFieldRef is required"))
    return [*complaints, *_mode(item.mode, f"{field}.mode")]


def _projected(source: core_pb2.ProjectedVolumeSource, field: str) -> list[Cause]:
    complaints = _mode(source.defaultMode, f"{field}.defaultMode")
    taken: set[str] = set()
    for i, part in enumerate(source.sources):
        here = f"{field}.sources[{i}]"
        kinds = [kind for kind in _SOURCES if part.HasField(kind)]
        if not kinds:
            complaints.append(causes.required(here, "must specify a source"))
            continue
        complaints += [
            causes.forbidden(f"{here}.{k}", "may not specify more than 1 volume type per source") for k in kinds[1:]
        ]
        found, paths = _part(part, kinds[0], f"{here}.{kinds[0]}")
        complaints += found
        complaints += [causes.invalid(here, path, "conflicting duplicate paths") for path in paths if path in taken]
        taken.update(paths)
    return complaints


def _part(part: core_pb2.VolumeProjection, kind: str, field: str) -> tuple[list[Cause], list[str]]:
    """Complaints about one source, and the paths that it says it has."""
    match kind:
        case "secret" | "configMap":
            one = part.secret if kind == "secret" else part.configMap
            missing = [] if one.localObjectReference.name else [causes.required(f"{field}.name")]
            return [*missing, *_items(one, field)], [item.path for item in one.items if item.path]
        case "downwardAPI":
            items = part.downwardAPI.items
            found = [cause for i, item in enumerate(items) for cause in _downward(item, f"{field}.items[{i}]")]
            return found, [item.path for item in items if item.path]
        case "serviceAccountToken":
            token = part.serviceAccountToken
            path = _file_path(token.path, f"{field}.path")
            return [*_life(token.expirationSeconds, f"{field}.expirationSeconds"), *path], [
                token.path
            ] if token.path else []
        case _:
            return [], []


def _life(seconds: int, field: str) -> list[Cause]:
    if seconds < LEAST_SECONDS:
        return [causes.invalid(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MOST_SECONDS:
        return [causes.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
