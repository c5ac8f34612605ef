"""Config maps: their keys, their size, and that they can be frozen."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

MAX_DATA = 1024 * 1024  # bytes of a config map's or secret's values together
FROZEN = "field is immutable when `immutable` is set"


class ConfigMapStrategy(Strategy[core_pb2.ConfigMap]):
    def validate_content(self, obj: core_pb2.ConfigMap) -> list[Cause]:
        complaints: list[Cause] = []
        for key in sorted(obj.data):
            complaints += causes.each(f"data[{key}]", key, names.config_key(key))
            if key in obj.binaryData:
                complaints.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in sorted(obj.binaryData):
            complaints += causes.each(f"binaryData[{key}]", key, names.config_key(key))
        size = sum(len(v.encode()) for v in obj.data.values()) + sum(map(len, obj.binaryData.values()))
        if size > MAX_DATA:
            complaints.append(causes.too_long("", MAX_DATA))
        return complaints

    def validate_change(self, obj: core_pb2.ConfigMap, old: core_pb2.ConfigMap) -> list[Cause]:
        if not old.immutable:
            return []
        thawed = ("immutable", not obj.immutable)
        changed = (thawed, ("data", obj.data != old.data), ("binaryData", obj.binaryData != old.binaryData))
        return [causes.forbidden(field, FROZEN) for field, differs in changed if differs]
