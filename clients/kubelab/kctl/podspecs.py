"""The pod spec of an object: a pod's own, or that of its template (kubectl's ``polymorphichelpers``)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

_PATHS = (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))


def pod_spec_of(obj: Message) -> core_pb2.PodSpec:
    """Give the pod spec, to change it in place. Raises Failed for an object without one."""
    if obj.DESCRIPTOR.name == "Pod":
        return cast(Any, obj).spec
    for path in _PATHS:
        if (spec := _below(obj, path)) is not None:
            return cast("core_pb2.PodSpec", spec)
    version = obj.DESCRIPTOR.full_name.split(".")[-2]
    raise Failed(f"the object is not a pod or does not have a pod template: *{version}.{obj.DESCRIPTOR.name}")


def _below(obj: Message, path: Iterable[str]) -> Message | None:
    for name in path:
        field = obj.DESCRIPTOR.fields_by_name.get(name)
        if field is None or field.message_type is None or field.is_repeated:
            return None
        obj = getattr(obj, name)
    return obj


def containers_of(spec: core_pb2.PodSpec, names: str = "*") -> list[core_pb2.Container]:
    """Give the containers, then the init containers, whose names match; ``*`` in ``names`` stands for any text."""
    pattern = re.compile(".*".join(map(re.escape, names.split("*"))), re.DOTALL)
    return [c for c in (*spec.containers, *spec.initContainers) if pattern.fullmatch(c.name)]
