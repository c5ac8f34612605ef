"""The table of a kind, by the printer columns of its definition (upstream: apiserver's ``tableconvertor``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery.jsonpath import JSONPath, JSONPathError
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.manifest.jsonmapping import parse_time
from kubelab.apimachinery.patch.values import number
from kubelab.apimachinery.scheme import NAME, Column
from kubelab.apimachinery.timestamps import human_duration

Row = Callable[[CustomObject, float], list[str]]
_AGE = pb.CustomResourceColumnDefinition(name="Age", type="date", jsonPath=".metadata.creationTimestamp")


def columns_of(definitions: Sequence[pb.CustomResourceColumnDefinition]) -> tuple[Column, ...]:
    """Give the columns of a table: the name, and those of the definition, or the age where it has none."""
    return (NAME, *(Column(d.name, d.description or _about(d), d.priority, d.type) for d in definitions or (_AGE,)))


def row_of(definitions: Sequence[pb.CustomResourceColumnDefinition]) -> Row:
    """Give what makes the cells of an object."""
    paths = [(path_of(d.jsonPath), d.type) for d in definitions or (_AGE,)]

    def row(obj: CustomObject, now: float) -> list[str]:
        body = {**message_to_dict(obj), "apiVersion": obj.apiVersion, "kind": obj.kind}
        return [obj.metadata.name, *(_cell(path, kind, body, now) for path, kind in paths)]

    return row


def path_of(text: str) -> JSONPath:
    """Read the path of a column; JSONPathError."""
    return JSONPath(f"{{{text}}}", allow_missing_keys=True)


def _about(d: pb.CustomResourceColumnDefinition) -> str:
    return f"Custom resource definition column (in JSONPath format): {d.jsonPath}"


def _cell(path: JSONPath, kind: str, body: dict[str, Any], now: float) -> str:
    try:
        results = path.find(body)
    except JSONPathError:
        return ""
    values = [value for result in results for value in result]
    if not values:
        return ""
    return _typed(values[0], kind, now) if len(values) == 1 or kind != "string" else _text(values)


def _typed(value: Any, kind: str, now: float) -> str:
    match kind, value:
        case "integer", int() | float():
            return str(int(value))
        case "number", int() | float():
            return number(float(value))
        case "boolean", bool():
            return str(value).lower()
        case "string", _ if value is not None:
            return value if isinstance(value, str) else _text(value)
        case "date", str():
            moment = parse_time(value)
            return human_duration(now - moment[0]) if moment is not None else "<invalid>"
        case _:
            return ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], dict | list):  # pyright: ignore[reportUnknownArgumentType]
        return _text(value[0])
    return (
        json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    )
