"""Documents with their fields in the order of Go's structs, as kubectl writes what it holds as typed objects.

What it only hands on, such as an object of a file, has sorted keys.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.api.tables import spelling
from kubelab.apimachinery.manifest import encode
from kubelab.apimachinery.messages import map_value
from kubelab.kctl.changes import descriptor_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

# Where a struct is not in the order of numbers: the field, and the one that it stands behind ("": the first place).
_MOVED: dict[str, dict[str, str]] = {
    "ConfigMap": {"immutable": "metadata"},
    "Container": {
        "envFrom": "ports",
        "resizePolicy": "resources",
        "restartPolicy": "resizePolicy",
        "volumeDevices": "volumeMounts",
        "startupProbe": "readinessProbe",
        "terminationMessagePolicy": "terminationMessagePath",
    },
    "CronJobSpec": {"timeZone": "schedule"},
    "DeploymentCondition": {"lastUpdateTime": "status", "lastTransitionTime": "lastUpdateTime"},
    "HTTPIngressPath": {"pathType": "path"},
    "IngressSpec": {"ingressClassName": ""},
    "JobSpec": {
        "podFailurePolicy": "activeDeadlineSeconds",
        "successPolicy": "podFailurePolicy",
        "backoffLimit": "successPolicy",
        "backoffLimitPerIndex": "backoffLimit",
        "maxFailedIndexes": "backoffLimitPerIndex",
    },
    "OwnerReference": {"apiVersion": ""},
    "PodSpec": {"initContainers": "volumes", "ephemeralContainers": "containers"},
    "Secret": {"immutable": "metadata", "stringData": "data"},
    "ServicePort": {"appProtocol": "protocol"},
    "ServiceSpec": {"clusterIPs": "clusterIP"},
}


def document_of(obj: Message) -> dict[str, Any]:
    """Give an object as JSON has it: kind, version, then the fields in the order of their numbers."""
    document = encode.to_dict(obj)
    return {key: document.pop(key) for key in ("kind", "apiVersion")} | _in_order(document, descriptor_of(obj))


def _in_order(document: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    ordered: dict[str, Any] = {}
    for field in _fields(descriptor):
        kind = field.message_type
        if kind is not None and field.full_name in spelling.INLINE:
            names = {part.name for part in kind.fields}
            ordered |= _in_order({key: value for key, value in document.items() if key in names}, kind)
        if field.name not in document:
            continue
        value = ordered[field.name] = document[field.name]
        if kind is None or map_value(field) is not None:
            continue
        if isinstance(value, dict):
            ordered[field.name] = _in_order(cast("dict[str, Any]", value), kind)
        elif isinstance(value, list):
            parts = cast("list[Any]", value)
            ordered[field.name] = [_in_order(part, kind) if isinstance(part, dict) else part for part in parts]
    return ordered | {key: value for key, value in document.items() if key not in ordered}


@functools.cache
def _fields(descriptor: Descriptor) -> list[FieldDescriptor]:
    fields = sorted(descriptor.fields, key=lambda field: field.number)
    for name, before in _MOVED.get(descriptor.name, {}).items():
        names = [field.name for field in fields]
        moved = fields.pop(names.index(name))
        names.remove(name)
        fields.insert(names.index(before) + 1 if before else 0, moved)
    return fields
