"""From a CustomResourceDefinition to what the api-server serves: one resource for each version."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import openapi
from kubelab.apimachinery.fieldsets import types
from kubelab.apimachinery.fieldsets.types import Type
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.customresources import columns, fieldtypes, scaling, shaping
from kubelab.apiserver.customresources.envelope import CustomEnvelope
from kubelab.apiserver.customresources.rules import Rules
from kubelab.apiserver.customresources.schema import NO_SCHEMA, Schema, compile_schema
from kubelab.apiserver.customresources.strategy import CustomStrategy
from kubelab.apiserver.resources.storage import ResourceStorage
from kubelab.apiserver.resources.subresource import STATUS, Subresource

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


@dataclass(frozen=True)
class Known:
    """What requests ask of the schema of a version (:class:`kubelab.apimachinery.scheme.CustomSchema`)."""

    schema: Schema
    has_status: bool

    def prune(self, body: JSONObject, /) -> list[str]:
        return shaping.prune(body, self.schema)

    @cached_property
    def fields(self) -> Type:
        return fieldtypes.of_object(self.schema, types.of_object(CustomObject.DESCRIPTOR).fields["metadata"])

    @property
    def openapi(self) -> dict[str, Any]:
        return self.schema.raw


def storages_of(crd: pb.CustomResourceDefinition, terminating: Callable[[], bool]) -> list[ResourceStorage]:
    """Make all versions that are served or stored, the preferred one first."""
    versions = [v for v in crd.spec.versions if v.served or v.storage]
    stored = next(v.name for v in versions if v.storage)
    return [_storage(crd, v, f"{crd.spec.group}/{stored}", terminating) for v in sorted(versions, key=_priority)]


def _priority(version: pb.CustomResourceDefinitionVersion) -> tuple[int, int, int, str]:
    """Sort as discovery does: v2, v1, v1beta2, v1beta1, v1alpha1, then other names."""
    found = _VERSION.fullmatch(version.name)
    if found is None:
        return (3, 0, 0, version.name)
    level = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (level, -int(found[1]), -int(found[3] or 0), "")


def schema_of(version: pb.CustomResourceDefinitionVersion) -> Schema:
    """Compile the schema of a version."""
    if not version.HasField("schema") or not version.schema.HasField("openAPIV3Schema"):
        return NO_SCHEMA
    return compile_schema(message_to_dict(version.schema.openAPIV3Schema))


def _storage(
    crd: pb.CustomResourceDefinition,
    version: pb.CustomResourceDefinitionVersion,
    stored: str,
    terminating: Callable[[], bool],
) -> ResourceStorage:
    spec, names = crd.spec, crd.status.acceptedNames
    schema = schema_of(version)
    has_status, has_scale = version.subresources.HasField("status"), version.subresources.HasField("scale")
    resource: Resource[CustomObject] = Resource(
        plural=spec.names.plural,
        singular=names.singular,
        kind=spec.names.kind,
        message=CustomObject,
        columns=columns.columns_of(version.additionalPrinterColumns),
        group=spec.group,
        version=version.name,
        short_names=tuple(names.shortNames),
        namespaced=spec.scope == "Namespaced",
        subresources=(*(("status",) if has_status else ()), *(("scale",) if has_scale else ())),
        categories=tuple(names.categories),
        list_kind=names.listKind,
        custom=Known(schema, has_status),
    )
    strategy = CustomStrategy(
        resource,
        schema,
        Rules(schema),
        has_status=has_status,
        selectable=[scaling.simple_path(field.jsonPath) for field in version.selectableFields],
        deprecation=_deprecation(resource, version),
        terminating=terminating,
    )
    subresources: dict[str, Subresource] = {"status": STATUS} if has_status else {}
    if has_scale:
        subresources["scale"] = scaling.scale_of(resource, version.subresources.scale, strategy)
    return ResourceStorage(
        cast(Resource[Any], resource),
        strategy,
        columns.row_of(version.additionalPrinterColumns),
        envelope=CustomEnvelope(resource, stored, schema),
        served=version.served,
        subresources=cast(Mapping[str, Subresource], subresources),
    )


def openapi_of(resource: Resource[Any]) -> tuple[str, dict[str, Any]] | None:
    """Give the name and the schema of a custom resource for the OpenAPI documents; None for another one."""
    if resource.custom is None:
        return None
    reversed_group = ".".join(reversed(resource.group.split(".")))
    schema = openapi.of_custom(resource.custom.openapi)
    schema["x-kubernetes-group-version-kind"] = [
        {"group": resource.group, "version": resource.version, "kind": resource.kind}
    ]
    return f"{reversed_group}.{resource.version}.{resource.kind}", schema


def _deprecation(resource: Resource[Any], version: pb.CustomResourceDefinitionVersion) -> str:
    if not version.deprecated:
        return ""
    return version.deprecationWarning or f"{resource.api_version} {resource.kind} is deprecated"
