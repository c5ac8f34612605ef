"""``kctl set env --list``: each container's variables, with ``--resolve`` the values behind their references."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery.scheme import Resource
    from kubelab.client.client import Client

_SUBSCRIPT = re.compile(r"metadata\.(annotations|labels)\['([^']*)'\]")
_METADATA = ("metadata.name", "metadata.namespace", "metadata.uid")


@dataclass(frozen=True, slots=True)
class Listing:
    """A container of an object, with its variables after the change."""

    obj: Message
    container: str
    variables: tuple[core_pb2.EnvVar, ...]


def show(session: Session, listings: list[Listing], *, resolve: bool) -> bool:
    """Print the variables; says whether every reference could be resolved, where that was wanted."""
    if not resolve:
        for listing in listings:
            _print(listing, {}, {})
        return True
    return session.run(lambda client: _show_resolved(client, session, listings))


async def _show_resolved(client: Client, session: Session, listings: list[Listing]) -> bool:
    from kubelab.apimachinery.errors import ApiError

    good = True
    for listing in listings:
        values: dict[str, str] = {}
        errors: dict[str, list[str]] = {}
        for variable in listing.variables:
            if not variable.HasField("valueFrom"):
                continue
            try:
                values[variable.name] = await _value(client, session.namespace, variable.valueFrom, listing.obj)
            except (ApiError, Failed) as err:
                errors.setdefault(getattr(err, "message", str(err)), []).append(variable.name)
        _print(listing, values, errors)
        good = good and not errors
    return good


def _print(listing: Listing, values: dict[str, str], errors: dict[str, list[str]]) -> None:
    name = cast(Any, listing.obj).metadata.name
    print(escaped(f"# {listing.obj.DESCRIPTOR.name} {name}, container {listing.container}"))
    for variable in listing.variables:
        if not variable.HasField("valueFrom"):
            print(escaped(f"{variable.name}={variable.value}"))
        elif variable.name in values:
            print(escaped(f"{variable.name}={values[variable.name]}"))
        else:
            print(escaped(f"# {variable.name} from {reference(variable.valueFrom)}"))
    for message, names in sorted(errors.items()):
        told = f"error retrieving reference for {', '.join(sorted(names))}: {message}"
        print(escaped(told), file=sys.stderr)


def reference(source: core_pb2.EnvVarSource) -> str:
    """Say where a value comes from: ``configmap settings, key color``."""
    if source.HasField("configMapKeyRef"):
        return f"configmap {source.configMapKeyRef.localObjectReference.name}, key {source.configMapKeyRef.key}"
    if source.HasField("secretKeyRef"):
        return f"secret {source.secretKeyRef.localObjectReference.name}, key {source.secretKeyRef.key}"
    if source.HasField("fieldRef"):
        return f"field path {source.fieldRef.fieldPath}"
    if source.HasField("resourceFieldRef"):
        container = source.resourceFieldRef.containerName
        return f"resource field {f'{container}/' if container else ''}{source.resourceFieldRef.resource}"
    return "invalid valueFrom"


async def _value(client: Client, namespace: str, source: core_pb2.EnvVarSource, obj: Message) -> str:
    from kubelab.apimachinery import scheme

    if source.HasField("configMapKeyRef"):
        return await _of_key(client, scheme.CONFIG_MAPS, source.configMapKeyRef, namespace, "config map")
    if source.HasField("secretKeyRef"):
        return await _of_key(client, scheme.SECRETS, source.secretKeyRef, namespace, "secret")
    if source.HasField("fieldRef"):
        return _of_field(obj, source.fieldRef.fieldPath)
    raise Failed(f"{reference(source)} is known to the node alone")


async def _of_key(client: Client, resource: Resource[Any], key: Any, namespace: str, noun: str) -> str:
    name = key.localObjectReference.name
    data = (await client.get(resource, name, namespace)).data
    if key.key not in data:
        raise Failed(f"key {key.key} not found in {noun} {name}")
    value = data[key.key]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _of_field(obj: Message, path: str) -> str:
    metadata = cast(Any, obj).metadata
    if path in _METADATA:
        return getattr(metadata, path.removeprefix("metadata."))
    if found := _SUBSCRIPT.fullmatch(path):
        return getattr(metadata, found[1]).get(found[2], "")
    raise Failed(f"unsupported fieldPath: {path}")
