"""``kctl explain``: the fields of a kind, from its OpenAPI schema, in the layout of kubectl's plaintext template."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import Resource
from kubelab.kctl import discovered
from kubelab.kctl.command import Command
from kubelab.kctl.flags import Flag
from kubelab.kctl.resource import UnknownType
from kubelab.kctl.session import Failed, Session

Schema = Mapping[str, Any]
PLAINTEXT = "plaintext"
NO_TYPE = (
    'error: You must specify the type of resource to explain. Use "kctl api-resources" for a complete list of '
    "supported resources."
)
WIDTH = 78


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    api_version: str
    output: str
    recursive: bool


def _explain(session: Session, args: tuple[str, ...], options: ExplainOptions) -> int:
    if len(args) != 1:
        raise Failed("error: We accept only this format: explain RESOURCE" if args else NO_TYPE)
    if options.output != PLAINTEXT:
        raise Failed(f"error: unrecognized format: {options.output}")
    try:
        resource, path = discovered.retried(session, lambda: target(args[0], options.api_version))
    except UnknownType as err:
        raise Failed(str(err)) from err
    schemas, root = _schemas(session, resource)
    sys.stdout.write(Explanation(schemas, recursive=options.recursive).text(resource, root, path))
    return 0


def _schemas(session: Session, resource: Resource[Message]) -> tuple[Mapping[str, Schema], Schema]:
    """Give the schemas of a kind by name, and that of its objects: from the contract, or from the definition of a
    custom kind. Raises Failed for a version that the definition no longer has."""
    from kubelab.apimachinery import openapi

    if not resource.is_custom:
        schemas = openapi.schemas([resource])
        return schemas, schemas[openapi.name_of(cast(Descriptor, resource.message.DESCRIPTOR))]
    from kubelab.apimachinery.manifest.encode import message_to_dict

    crd = session.run(lambda client: client.get(scheme.CUSTOM_RESOURCE_DEFINITIONS, resource.qualified))
    version = next((v for v in crd.spec.versions if v.name == resource.version), None)
    if version is None:
        raise Failed(f'error: couldn\'t find resource for "{resource.api_version}, Resource={resource.plural}"')
    schema = openapi.of_custom(message_to_dict(version.schema.openAPIV3Schema))
    return openapi.schemas([scheme.CONFIG_MAPS]), schema  # of the contract, ObjectMeta is all that it refers to


def target(word: str, api_version: str) -> tuple[Resource[Message], list[str]]:
    """Read ``pods.spec.containers`` or ``deployments.apps.spec``. Raises UnknownType."""
    name, *path = word.split(".")
    among = [r for r in scheme.every_version() if api_version in ("", r.api_version)]
    resource = scheme.find(name, among)
    if resource is None:
        if api_version:
            raise UnknownType(f'error: couldn\'t find resource for "{api_version}, Resource={name}"')
        raise UnknownType(f'the server doesn\'t have a resource type "{name}"')
    group = resource.group.split(".") if resource.group else []
    if group and path[: len(group)] == group:
        path = path[len(group) :]
    return resource, [part for part in path if part]


class Explanation:
    """Writes the text. ``schemas`` are those of the document, by name."""

    def __init__(self, schemas: Mapping[str, Schema], *, recursive: bool) -> None:
        self._schemas, self._recursive = schemas, recursive

    def text(self, resource: Resource[Message], schema: Schema, path: Sequence[str]) -> str:
        """Give the whole output. Raises Failed when the path names no field."""
        group = f"GROUP:      {resource.group}\n" if resource.group else ""
        head = f"{group}KIND:       {resource.kind}\nVERSION:    {resource.version}\n\n"
        for n, name in enumerate(path):
            field = self._property(schema, name)
            if field is None:
                sys.stdout.write(head)  # kubectl has printed so much when it finds out
                raise Failed(f'error: field "{path[-1]}" does not exist')
            if n == len(path) - 1:
                head += f"FIELD: {name} <{self._type(field)}>\n\n\n"
            schema = field
        about = "\n".join(self._descriptions(schema)) + "\n"
        text = f"{head}DESCRIPTION:\n{_block(about if about.strip() else '<empty>', 76, 4)}\n"
        if fields := "".join(self._fields(schema, 1, ())):
            text += f"FIELDS:\n{fields}"
        return text + "\n"

    def _resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        return self._schemas[reference.rpartition("/")[2]] if reference else schema

    def _parts(self, schema: Schema) -> list[Schema]:
        """What a schema is made of besides its own properties."""
        more = [schema[key] for key in ("items", "additionalProperties") if key in schema]
        return [*schema.get("allOf", ()), *more]

    def _property(self, schema: Schema, name: str) -> Schema | None:
        resolved = self._resolved(schema)
        own = resolved.get("properties", {}).get(name)
        if own is not None:
            return own
        return next((p for part in self._parts(resolved) if (p := self._property(part, name)) is not None), None)

    def _descriptions(self, schema: Schema) -> Iterator[str]:
        resolved = self._resolved(schema)
        if resolved.get("description"):
            yield resolved["description"]
        for part in self._parts(resolved):
            yield from self._descriptions(part)

    def _type(self, schema: Schema) -> str:
        if "items" in schema:
            return f"[]{self._type(schema['items'])}"
        if "additionalProperties" in schema:
            return f"map[string]{self._type(schema['additionalProperties'])}"
        if len(schema.get("allOf", ())) == 1:
            return self._type(schema["allOf"][0])
        if "$ref" in schema:
            kind = self._resolved(schema).get("type", "object")
            return schema["$ref"].rpartition(".")[2] if kind == "object" else kind
        kind = schema.get("type", "object")
        return "Object" if kind == "object" else kind

    def _fields(self, schema: Schema, level: int, above: tuple[str, ...]) -> Iterator[str]:
        """Give one text for each field; a schema inside itself is not written again."""
        reference = schema.get("$ref", "")
        if reference and reference in above:
            return
        above = (*above, reference)
        resolved = self._resolved(schema)
        for name, field in resolved.get("properties", {}).items():
            yield self._field(name, field, level, required=name in resolved.get("required", ()))
            if self._recursive:
                yield from self._fields(field, level + 1, above)
        for part in self._parts(resolved):
            yield from self._fields(part, level, above)

    def _field(self, name: str, field: Schema, level: int, *, required: bool) -> str:
        indent = 2 * level
        line = f"{' ' * indent}{name}\t<{self._type(field)}>{' -required-' if required else ''}\n"
        if self._recursive:
            return line
        about = field.get("description") or "<no description>"
        return f"{line}{_block(about, WIDTH - indent, indent + 2)}\n\n"


def _block(text: str, width: int, indent: int) -> str:
    lines = [part for line in text.split("\n") for part in (textwrap.wrap(line, width, break_long_words=False) or [""])]
    return "\n".join(" " * indent + line for line in lines)


EXPLAIN = Command(
    "explain",
    run=_explain,
    options=ExplainOptions,
    flags=(
        Flag("--api-version", help="Use given api-version (group/version) of the resource."),
        Flag(
            "--output",
            "-o",
            default=PLAINTEXT,
            help="Format in which to render the schema. Valid values are: (plaintext).",
        ),
        Flag(
            "--recursive",
            kind="bool",
            help="When true, print the name of all the fields recursively. Otherwise, print the available fields with "
            "their description.",
        ),
    ),
    about="""\
Describe fields and structure of various resources.

 This command describes the fields associated with each supported API resource. Fields are identified via a simple \
JSONPath identifier:

        <type>.<fieldName>[.<fieldName>]

Use "kctl api-resources" for a complete list of supported resources.""",
    examples="""\
# Get the documentation of the resource and its fields
kctl explain pods

# Get all the fields in the resource
kctl explain pods --recursive

# Get the documentation of a specific field of a resource
kctl explain pods.spec.containers""",
    usage="kctl explain TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group]",
)
