"""OpenAPI schemas of the served kinds, made from the contract's descriptors and options.

Version 3 is what ``/openapi/v3/api/v1`` has under ``components.schemas``, version 2 what ``/openapi/v2`` has under
``definitions`` (https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition). Names of
schemas, types, formats, ``required`` and the ``x-kubernetes`` extensions are upstream's; descriptions are the
contract's comments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kubelab.api.tables import descriptions, merging, schema, spelling
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.scheme import Resource

Schema = dict[str, Any]

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_API = "kubelab.api."
_PACKAGES = {  # of apimachinery and apiextensions; all others are io.k8s.api.GROUP.VERSION
    "kubelab.api.apiextensions.v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "kubelab.api.meta.v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "kubelab.api.resource": "io.k8s.apimachinery.pkg.api.resource",
    "kubelab.api.intstr": "io.k8s.apimachinery.pkg.util.intstr",
    "kubelab.api.runtime": "io.k8s.apimachinery.pkg.runtime",
}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}
_ZEROS: dict[int, bool | int | str] = {
    FieldDescriptor.TYPE_BOOL: False,
    FieldDescriptor.TYPE_INT32: 0,
    FieldDescriptor.TYPE_INT64: 0,
    FieldDescriptor.TYPE_STRING: "",
}
_SPECIAL: dict[str, Schema] = {
    jsonmapping.TIME: {"type": "string", "format": "date-time"},
    jsonmapping.MICRO_TIME: {"type": "string", "format": "date-time"},
    jsonmapping.FIELDS: {"type": "object"},
    jsonmapping.RAW_EXTENSION: {"type": "object"},
    jsonmapping.JSON_VALUE: {},
    **dict.fromkeys(jsonmapping.SCHEMA_OR, cast(Schema, {})),
    **{key: {"type": "array", "items": {"type": "string"}} for key in jsonmapping.EXTRA_VALUES},
}
# What version 2 cannot say, having no oneOf, is a string there.
_EITHER: dict[str, tuple[Schema, Schema]] = {
    jsonmapping.QUANTITY: ({"oneOf": [{"type": "string"}, {"type": "number"}]}, {"type": "string"}),
    jsonmapping.INT_OR_STRING: (
        {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
        {"type": "string", "format": "int-or-string"},
    ),
}
_TYPE_META = {
    "apiVersion": {
        "type": "string",
        "description": "The group and version of this form of the object, such as apps/v1.",
    },
    "kind": {"type": "string", "description": "The kind of the object, such as Pod."},
}


class Kind(NamedTuple):
    """A kind that is no resource of its own, such as Scale."""

    message: type[Message]
    group: str
    version: str
    name: str


def schemas(
    resources: Iterable[Resource[Message]] = scheme.ALL,
    *,
    version: int = 3,
    kinds: Iterable[Kind] = (),
    messages: Iterable[type[Message]] = (),
) -> dict[str, Schema]:
    """Give the schemas of resources, of their lists, of more kinds and messages, and of all that these are made of, by
    name; ``version`` is 2 or 3."""
    return dict(sorted(_Writer(version).schemas(resources, kinds, messages).items()))


def name_of(descriptor: Descriptor) -> str:
    """Give a message's name in the document: ``io.k8s.api.core.v1.Pod``."""
    package, _, name = descriptor.full_name.rpartition(".")
    return f"{_PACKAGES.get(package) or 'io.k8s.api.' + package.removeprefix(_API)}.{name}"


class _Writer:
    """Collects schemas; each message is described once."""

    def __init__(self, version: int) -> None:
        self._three = version == 3
        self._prefix = "#/components/schemas/" if self._three else "#/definitions/"
        self._schemas: dict[str, Schema] = {}

    def schemas(
        self, resources: Iterable[Resource[Message]], kinds: Iterable[Kind], messages: Iterable[type[Message]]
    ) -> dict[str, Schema]:
        for resource in resources:
            self._resource(resource)
        for kind in kinds:
            self._kind(kind)
        for message in messages:
            self._message(cast(Descriptor, message.DESCRIPTOR))
        return self._schemas

    def _kind(self, kind: Kind) -> str:
        name = self._message(cast(Descriptor, kind.message.DESCRIPTOR))
        said = {"group": kind.group, "version": kind.version, "kind": kind.name}
        schema = self._schemas[name]
        schema["properties"] = dict(sorted({**_TYPE_META, **schema["properties"]}.items()))
        kinds = schema.setdefault("x-kubernetes-group-version-kind", [])
        if said not in kinds:
            kinds.append(said)
        return name

    def _resource(self, resource: Resource[Message]) -> None:
        descriptor = cast(Descriptor, resource.message.DESCRIPTOR)
        said = {"group": resource.group, "version": resource.version}
        name = self._kind(Kind(resource.message, resource.group, resource.version, resource.kind))
        if "list" not in resource.verbs:
            return
        items = {"type": "array", "items": self._reference(descriptor)}
        metadata = self._field_of("kubelab.api.meta.v1.ListMeta", descriptor)
        self._schemas[f"{name}List"] = {
            "type": "object",
            "required": ["items"],
            "properties": dict(sorted({**_TYPE_META, "items": items, "metadata": metadata}.items())),
            "x-kubernetes-group-version-kind": [{**said, "kind": f"{resource.kind}List"}],
        }

    def _field_of(self, full_name: str, beside: Descriptor) -> Schema:
        return self._reference(beside.file.pool.FindMessageTypeByName(full_name), default=True)

    def _message(self, descriptor: Descriptor) -> str:
        """Describe a message and all below it; gives its name."""
        name, full_name = name_of(descriptor), descriptor.full_name
        if name in self._schemas:
            return name
        if full_name in _SPECIAL:
            self._schemas[name] = dict(_SPECIAL[full_name])
            return name
        if full_name in _EITHER:
            self._schemas[name] = dict(_EITHER[full_name][0 if self._three else 1])
            return name
        result = self._schemas[name] = Schema(type="object")
        if full_name in descriptions.DESCRIPTION:
            result["description"] = descriptions.DESCRIPTION[full_name]
        fields = list(fields_of(descriptor))
        if required := sorted(field.json_name for field in fields if field.full_name in schema.REQUIRED):
            result["required"] = required
        result["properties"] = {f.json_name: self._field(f) for f in sorted(fields, key=lambda field: field.json_name)}
        if full_name in merging.ATOMIC_MESSAGE:
            result["x-kubernetes-map-type"] = "atomic"
        return name

    def _field(self, field: FieldDescriptor) -> Schema:
        """Describe a field; beside a reference there is no description, so that it becomes one of ``allOf``."""
        schema = self._undescribed(field)
        description = descriptions.DESCRIPTION.get(field.full_name)
        if not description:
            return schema
        if self._three and "$ref" in schema:
            schema = {"allOf": [schema]}
        return {"description": description, **schema}

    def _undescribed(self, field: FieldDescriptor) -> Schema:
        kind, name = field.message_type, field.full_name
        if (value := map_value(field)) is not None:
            schema: Schema = {"type": "object", "additionalProperties": self._value(value)}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._value(field)}
        elif kind is not None:
            schema = {**self._reference(kind, default=name in spelling.ALWAYS)}
        else:
            schema = self._scalar(field, default=name in spelling.ALWAYS)
        if name in merging.LIST_TYPE:
            schema["x-kubernetes-list-type"] = merging.LIST_TYPE[name]
        if name in merging.LIST_KEYS:
            schema["x-kubernetes-list-map-keys"] = list(merging.LIST_KEYS[name])
        if name in merging.PATCH:
            schema["x-kubernetes-patch-strategy"] = merging.PATCH[name]
        if name in merging.MERGE_KEY:
            schema["x-kubernetes-patch-merge-key"] = merging.MERGE_KEY[name]
        if name in merging.ATOMIC:
            schema["x-kubernetes-map-type"] = "atomic"
        return schema

    def _value(self, field: FieldDescriptor) -> Schema:
        """Describe one element of a list or a map."""
        if field.message_type is not None:
            return self._reference(field.message_type, default=field.is_repeated)
        return self._scalar(field, default=True)

    def _scalar(self, field: FieldDescriptor, *, default: bool) -> Schema:
        schema = dict(_SCALARS[field.type])
        if default and self._three and field.type in _ZEROS:
            schema["default"] = _ZEROS[field.type]
        return schema

    def _reference(self, descriptor: Descriptor, *, default: bool = False) -> Schema:
        """Point at a message; ``default`` says that the object has it, if empty, where the writer does not."""
        reference: Schema = {"$ref": self._prefix + self._message(descriptor)}
        if not self._three:
            return reference
        has_default = default and descriptor.full_name not in _SPECIAL and descriptor.full_name not in _EITHER
        return {"allOf": [reference], "default": {}} if has_default else reference


def of_custom(schema: Schema) -> Schema:
    """Add to the schema of a CustomResourceDefinition what every object has."""
    metadata = {
        "description": "Standard object's metadata. More info: "
        "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        "allOf": [{"$ref": f"#/components/schemas/{OBJECT_META}"}],
    }
    own = {**_TYPE_META, "metadata": metadata}
    return {**schema, "properties": dict(sorted({**schema.get("properties", {}), **own}.items()))}


def fields_of(descriptor: Descriptor) -> Iterator[FieldDescriptor]:
    """Give the fields that JSON has in an object of this type, those of inlined parts among them."""
    for field in descriptor.fields:
        if field.full_name in spelling.INLINE:
            assert field.message_type is not None
            yield from fields_of(field.message_type)
        else:
            yield field
