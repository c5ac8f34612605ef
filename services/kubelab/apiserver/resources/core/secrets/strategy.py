"""Secrets: their keys, their size, what each known type must hold, and that they can be frozen."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import gojson, names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.core.configmaps.strategy import FROZEN, MAX_DATA
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_DOCKER_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


class SecretStrategy(Strategy[core_pb2.Secret]):
    def default(self, obj: core_pb2.Secret) -> None:
        obj.type = obj.type or "Opaque"
        for key, text in obj.stringData.items():
            obj.data[key] = text.encode()
        obj.ClearField("stringData")

    def validate_content(self, obj: core_pb2.Secret) -> list[Cause]:
        complaints: list[Cause] = []
        for key in sorted(obj.data):
            complaints += causes.each(f"data[{key}]", key, names.config_key(key))
        if sum(map(len, obj.data.values())) > MAX_DATA:
            complaints.append(causes.too_long("data", MAX_DATA))
        return [*complaints, *_by_type(obj)]

    def validate_change(self, obj: core_pb2.Secret, old: core_pb2.Secret) -> list[Cause]:
        complaints: list[Cause] = []
        if old.immutable:
            changed = (("immutable", not obj.immutable), ("data", obj.data != old.data))
            complaints += [causes.forbidden(field, FROZEN) for field, differs in changed if differs]
        return complaints

    def selectable_fields(self, obj: core_pb2.Secret) -> Mapping[str, str]:
        return {**super().selectable_fields(obj), "type": obj.type}


def _by_type(obj: core_pb2.Secret) -> list[Cause]:
    data = obj.data
    match obj.type:
        case "kubernetes.io/service-account-token":
            if not obj.metadata.annotations.get(SERVICE_ACCOUNT_NAME):
                return [causes.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")]
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson":
            return _docker(data, _DOCKER_KEYS[obj.type])
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                return _missing(data, "username", "password")
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                return [causes.required("data[ssh-privatekey]")]
        case "kubernetes.io/tls":
            return _missing(data, "tls.crt", "tls.key")
        case _:
            return []
    return []


def _missing(data: Mapping[str, bytes], *keys: str) -> list[Cause]:
    return [causes.required(f"data[{key}]") for key in keys if key not in data]


def _docker(data: Mapping[str, bytes], key: str) -> list[Cause]:
    if key not in data:
        return [causes.required(f"data[{key}]")]
    message = gojson.no_object(data[key])
    return [causes.invalid(f"data[{key}]", "<secret contents redacted>", message)] if message else []
