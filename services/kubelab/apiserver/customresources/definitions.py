"""Whether a CustomResourceDefinition is one, in the words of apiextensions-apiserver."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.jsonpath import JSONPathError
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apiserver.customresources import rules, structural
from kubelab.apiserver.customresources.columns import path_of
from kubelab.apiserver.customresources.schema import Schema, compile_schema
from kubelab.apiserver.strategies import causes

COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
COLUMN_FORMATS = ("int32", "int64", "float", "double", "byte", "date", "date-time", "password")
MAX_SELECTABLE = 8
_SIMPLE = re.compile(r"(\.[A-Za-z_$-][\w$-]*)+", re.ASCII)
_MIXED = "may have mixed case, but should otherwise match: "


def validate(crd: pb.CustomResourceDefinition) -> list[Cause]:
    """Give all complaints about the spec."""
    spec = crd.spec
    found = [*_group(spec.group), *causes.one_of("spec.scope", spec.scope, ("Cluster", "Namespaced"))]
    found += _versions(spec)
    found += _names(spec.names, "spec.names")
    for name in ("plural", "singular", "kind", "listKind"):
        if not getattr(spec.names, name):
            found.append(causes.required(f"spec.names.{name}"))
    found += _conversion(spec.conversion)
    if spec.preserveUnknownFields:
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        found.append(causes.invalid("spec.preserveUnknownFields", True, why))
    return found


def _group(group: str) -> list[Cause]:
    if not group:
        return [causes.required("spec.group")]
    if problems := names.dns_subdomain(group):
        return [causes.invalid("spec.group", group, ",".join(problems))]
    if "." not in group:
        return [causes.invalid("spec.group", group, "should be a domain with at least one dot")]
    return []


def _versions(spec: pb.CustomResourceDefinitionSpec) -> Iterator[Cause]:
    given = [v.name for v in spec.versions]
    for at, version in enumerate(spec.versions):
        where = f"spec.versions[{at}]"
        if problems := names.dns1035_label(version.name):
            yield causes.invalid(f"{where}.name", version.name, ",".join(problems))
        yield from _version(version, where)
    if len(set(given)) < len(given):
        yield causes.invalid_whole("spec.versions", "must contain unique version names")
    if sum(v.storage for v in spec.versions) != 1:
        yield causes.invalid_whole("spec.versions", "must have exactly one version marked as storage version")


def _version(version: pb.CustomResourceDefinitionVersion, where: str) -> Iterator[Cause]:
    schema: Schema | None = None
    if version.deprecationWarning and not version.deprecated:
        yield causes.invalid(
            f"{where}.deprecationWarning", version.deprecationWarning, "can only be set for deprecated versions"
        )
    if not version.schema.HasField("openAPIV3Schema"):
        yield causes.required(f"{where}.schema.openAPIV3Schema", "schemas are required")
    else:
        raw = message_to_dict(version.schema.openAPIV3Schema)
        wrong = structural.validate_schema(raw, f"{where}.schema.openAPIV3Schema")
        yield from wrong
        if not wrong:
            schema = compile_schema(raw)
            yield from rules.validate(schema, f"{where}.schema.openAPIV3Schema")
    if version.subresources.HasField("scale"):
        yield from _scale(version.subresources.scale, f"{where}.subresources.scale")
    for at, column in enumerate(version.additionalPrinterColumns):
        yield from _column(column, f"{where}.additionalPrinterColumns[{at}]")
    yield from _selectable(version, schema, f"{where}.selectableFields")


def _names(given: pb.CustomResourceDefinitionNames, where: str) -> Iterator[Cause]:
    lists = {f"shortNames[{i}]": name for i, name in enumerate(given.shortNames)}
    lists |= {f"categories[{i}]": name for i, name in enumerate(given.categories)}
    for key, name in {"plural": given.plural, "singular": given.singular, **lists}.items():
        if name and (problems := names.dns1035_label(name)):
            yield causes.invalid(f"{where}.{key}", name, ",".join(problems))
    for key, name in (("kind", given.kind), ("listKind", given.listKind)):
        if name and (problems := names.dns1035_label(name.lower())):
            yield causes.invalid(f"{where}.{key}", name, _MIXED + ",".join(problems))
    if given.kind and given.kind == given.listKind:
        yield causes.invalid(f"{where}.listKind", given.listKind, "kind and listKind may not be the same")


def _conversion(conversion: pb.CustomResourceConversion) -> list[Cause]:
    found = causes.one_of("spec.conversion.strategy", conversion.strategy, ("None", "Webhook"))
    if conversion.strategy == "None" and conversion.HasField("webhook"):
        why = "should not be set when strategy is not set to Webhook"
        found.append(causes.forbidden("spec.conversion.webhook", why))
    if conversion.strategy == "Webhook":
        why = "kubelab converts with the strategy None alone"
        found.append(causes.forbidden("spec.conversion.strategy", why))
    return found


def _scale(scale: pb.CustomResourceSubresourceScale, where: str) -> Iterator[Cause]:
    for key, value, root in (
        ("specReplicasPath", scale.specReplicasPath, ".spec."),
        ("statusReplicasPath", scale.statusReplicasPath, ".status."),
    ):
        if not value:
            yield causes.required(f"{where}.{key}")
        elif not _SIMPLE.fullmatch(value):
            yield causes.invalid(f"{where}.{key}", value, "is no path of fields such as .spec.replicas")
        elif not value.startswith(root):
            yield causes.invalid(f"{where}.{key}", value, f"should be a json path under {root[:-1]}")
    if selector := scale.labelSelectorPath:
        if not _SIMPLE.fullmatch(selector):
            yield causes.invalid(
                f"{where}.labelSelectorPath", selector, "is no path of fields such as .status.selector"
            )
        elif not selector.startswith((".spec.", ".status.")):
            why = "should be a json path under either .spec or .status"
            yield causes.invalid(f"{where}.labelSelectorPath", selector, why)


def _column(column: pb.CustomResourceColumnDefinition, where: str) -> Iterator[Cause]:
    if not column.name:
        yield causes.required(f"{where}.name")
    if not column.type:
        yield causes.required(f"{where}.type", f"must be one of {','.join(sorted(COLUMN_TYPES))}")
    elif column.type not in COLUMN_TYPES:
        yield causes.invalid(f"{where}.type", column.type, f"must be one of {','.join(sorted(COLUMN_TYPES))}")
    if column.format and column.format not in COLUMN_FORMATS:
        yield causes.invalid(f"{where}.format", column.format, f"must be one of {','.join(sorted(COLUMN_FORMATS))}")
    if not column.jsonPath:
        yield causes.required(f"{where}.jsonPath")
        return
    if not column.jsonPath.startswith("."):
        yield causes.invalid(f"{where}.jsonPath", column.jsonPath, "must be a simple json path starting with .")
        return
    try:
        path_of(column.jsonPath)
    except JSONPathError as err:
        yield causes.invalid(f"{where}.jsonPath", column.jsonPath, str(err))


def _selectable(version: pb.CustomResourceDefinitionVersion, schema: Schema | None, where: str) -> Iterator[Cause]:
    if len(version.selectableFields) > MAX_SELECTABLE:
        yield from causes.at_most(where, len(version.selectableFields), MAX_SELECTABLE)
    seen: set[str] = set()
    for at, field in enumerate(version.selectableFields):
        place, path = f"{where}[{at}].jsonPath", field.jsonPath
        if not path:
            yield causes.required(place)
        elif path in seen:
            yield causes.duplicate(place, path)
        elif not _SIMPLE.fullmatch(path):
            yield causes.invalid(place, path, "is an invalid path: must be a simple path of fields")
        elif path.split(".")[1] == "metadata":
            yield causes.invalid(place, path, "must not point to fields in metadata")
        elif schema is not None:
            below: Schema | None = schema
            for key in path.removeprefix(".").split("."):
                below = below.properties.get(key) if below is not None else None
            if below is None:
                yield causes.invalid(place, path, "is an invalid path: does not refer to a valid field")
            elif below.type not in ("string", "integer", "boolean"):
                yield causes.invalid(
                    place,
                    path,
                    "must point to a field of type string, boolean or integer. "
                    "Enum string fields and strings with formats are allowed.",
                )
        seen.add(path)
