"""OpenAPI documents, made from the registry and the contract's descriptors
(https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition).

Version 3 has a document for each group version, version 2 one for all. Descriptions are the contract's comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import openapi
from kubelab.apimachinery.openapi import Kind, Schema
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.apiserver.discovery import customschemas
from kubelab.apiserver.discovery.groups import Group, Served, Version
from kubelab.apiserver.discovery.operations import PATCH, RESOURCE_LIST, Operation, Path, paths, tag
from kubelab.apiserver.discovery.parameters import Parameter
from kubelab.apiserver.discovery.subresources import Answer, answer

Document = dict[str, Any]

CustomSchemas = Callable[[Resource[Message]], tuple[str, Schema] | None]
"""Gives name and schema of a resource that the contract does not describe; None for one that it does."""

_MEDIA = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_CODES = {200: "OK", 201: "Created", 202: "Accepted"}
_INFO = {"title": "Kubernetes", "version": GIT_VERSION}
_BEARER = {"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}
_TYPES = {"string": {"type": "string"}, "integer": {"type": "integer"}, "boolean": {"type": "boolean"}}
# What every group version answers with, besides its own kinds.
_COMMON = (
    Kind(meta_pb2.DeleteOptions, "", "v1", "DeleteOptions"),
    Kind(meta_pb2.Status, "", "v1", "Status"),
)
_PATCH_SCHEMA: Schema = {"type": "object", "description": "A change of an object, in one of the forms of patches."}
_RESOURCE_LIST_SCHEMA: Schema = {
    "type": "object",
    "description": "The resources of a group version.",
    "required": ["groupVersion", "resources"],
    "properties": {
        "apiVersion": {"type": "string"},
        "groupVersion": {"type": "string"},
        "kind": {"type": "string"},
        "resources": {"type": "array", "items": {"type": "object"}},
    },
    "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "APIResourceList"}],
}


def no_custom(resource: Resource[Message]) -> tuple[str, Schema] | None:
    """Describe no custom resource."""
    del resource
    return None


def version_3(version: Version, custom: CustomSchemas = no_custom) -> Document:
    """The document of one group version, ``/openapi/v3/apis/apps/v1``."""
    writer = _Writer(custom, three=True)
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": dict(sorted(writer.paths(version))),
        "components": {
            "schemas": writer.schemas([version]),
            "securitySchemes": {"BearerToken": _BEARER},
        },
    }


def version_2(groups: Iterable[Group], custom: CustomSchemas = no_custom) -> Document:
    """The document of everything, ``/openapi/v2``."""
    writer = _Writer(custom, three=False)
    versions = [version for group in groups for version in group.versions]
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": dict(sorted(path for version in versions for path in writer.paths(version))),
        "definitions": writer.schemas(versions),
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def _patches(one: Operation) -> tuple[str, ...]:
    """Give the types of patches that an object takes. One whose kind has no merge keys takes no strategic ones, and
    kubectl's apply finds that out here."""
    return tuple(kind for kind in _PATCHES if one.strategic or not kind.startswith("application/strategic"))


class _Writer:
    def __init__(self, custom: CustomSchemas, *, three: bool) -> None:
        self._custom, self._three = custom, three

    def _name_of(self, one: Served, what: Answer) -> str:
        if what.message is not None and what.message is not one.resource.message:
            return openapi.name_of(cast(Descriptor, what.message.DESCRIPTOR))
        custom = self._custom(one.resource)
        return custom[0] if custom else openapi.name_of(cast(Descriptor, one.resource.message.DESCRIPTOR))

    def schemas(self, versions: Iterable[Version]) -> dict[str, Schema]:
        served = [one for version in versions for one in version.served]
        described = {one.resource: custom for one in served if (custom := self._custom(one.resource))}
        found = openapi.schemas(
            [one.resource for one in served if one.resource not in described],
            version=3 if self._three else 2,
            kinds=[*_COMMON, *_kinds(served)],
            messages=[meta_pb2.ObjectMeta, meta_pb2.ListMeta],
        )
        found |= {PATCH: _PATCH_SCHEMA, RESOURCE_LIST: _RESOURCE_LIST_SCHEMA}
        for resource, (name, schema) in described.items():
            found[name] = schema if self._three else customschemas.to_version_2(schema)
            listed = customschemas.of_list(resource, name)
            found[f"{name}List"] = listed if self._three else customschemas.to_version_2(listed)
        return dict(sorted(found.items()))

    def paths(self, version: Version) -> Iterable[tuple[str, Document]]:
        marks = [tag(version)]
        for path in paths(version, self._name_of):
            yield path.path, self._path(path, marks)

    def _path(self, path: Path, marks: list[str]) -> Document:
        document: Document = {one.method: self._operation(one, marks) for one in path.operations}
        if path.parameters:
            document["parameters"] = [self._parameter(one) for one in path.parameters]
        return document

    def _operation(self, one: Operation, marks: list[str]) -> Document:
        document: Document = {"description": one.about, "operationId": one.id, "tags": marks}
        parameters = [self._parameter(parameter) for parameter in one.parameters]
        responses = {str(code): self._answer(code, schema) for code, schema in one.answers.items()}
        responses["401"] = {"description": "Unauthorized"}
        body = {"$ref": self._reference(one.body)} if one.body else None
        if not self._three:
            document |= {
                "consumes": list(_patches(one)) if one.method == "patch" and body else ["*/*"],
                "produces": list(_MEDIA) if any(one.answers.values()) else ["*/*"],
                "schemes": ["https"],
            }
            if body:
                required = one.method != "delete"
                place = {"name": "body", "in": "body", "schema": body, **({"required": True} if required else {})}
                parameters = [place, *parameters]
        elif body:
            media = _patches(one) if one.method == "patch" else ("*/*",)
            content = {form: {"schema": body} for form in media}
            document["requestBody"] = {"content": content, **({"required": True} if one.method != "delete" else {})}
        if parameters:
            document["parameters"] = parameters
        document["responses"] = responses
        if one.action:
            document["x-kubernetes-action"] = one.action
        if one.kind is not None:
            document["x-kubernetes-group-version-kind"] = {
                "group": one.kind.group,
                "version": one.kind.version,
                "kind": one.kind.kind,
            }
        return document

    def _reference(self, name: str) -> str:
        return f"#/components/schemas/{name}" if self._three else f"#/definitions/{name}"

    def _answer(self, code: int, name: str) -> Document:
        schema: Schema = {"$ref": self._reference(name)} if name else {"type": "string"}
        if not self._three:
            return {"description": _CODES[code], "schema": schema}
        media = _MEDIA if name else ("*/*",)
        return {"description": _CODES[code], "content": {form: {"schema": schema} for form in media}}

    def _parameter(self, one: Parameter) -> Document:
        required = {"required": True} if one.place == "path" else {}
        document: Document = {"name": one.name, "in": one.place, "description": one.about, **required}
        kind = {**_TYPES[one.type], "uniqueItems": True}
        return {**document, "schema": kind} if self._three else {**document, **kind}


def _kinds(served: Iterable[Served]) -> Iterable[Kind]:
    """Give the kinds of subresources that are not their resources' own."""
    for one in served:
        for name in one.subresources:
            what = answer(one.resource, name)
            if what.message is not None and what.message is not one.resource.message:
                group, version = (
                    (what.group, what.version) if what.version else (one.resource.group, one.resource.version)
                )
                yield Kind(what.message, group, version, what.kind)
