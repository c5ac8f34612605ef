"""The JSON inside of custom objects."""

from __future__ import annotations

import json
from typing import Any, cast

from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import errors
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, load
from kubelab.apimachinery.scheme import Resource

MAX_DEPTH = 200  # objects and lists in each other


def body_of(obj: CustomObject) -> JSONObject:
    """Read an object's fields, without metadata, apiVersion and kind. BadRequest for what is no JSON object, or is too
    deep."""
    try:
        found = load(obj.content or b"{}")
    except ValueError as err:
        raise errors.BadRequest(f"the content of the object is no JSON: {err}") from err
    if not isinstance(found, dict):
        raise errors.BadRequest("the content of the object is no JSON object")
    if not obj.content.isascii() or obj.content.count(b"{") + obj.content.count(b"[") > MAX_DEPTH:
        _check_depth(cast(JSONObject, found))
    return cast(JSONObject, found)


def set_body(obj: CustomObject, body: JSONObject) -> None:
    """Write an object's fields; the same fields always give the same bytes."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    obj.content = text.encode("utf-8", "replace")


def check_kind(obj: CustomObject, resource: Resource[Any]) -> None:
    """Refuse an object of another kind; one that does not say is of this kind. BadRequest."""
    version, kind = obj.apiVersion or resource.api_version, obj.kind or resource.kind
    if (version, kind) != (resource.api_version, resource.kind):
        raise errors.BadRequest(
            f"the object provided is unrecognized: got {kind} in version {version}, expected {resource.kind} "
            f"in version {resource.api_version}"
        )
    obj.apiVersion, obj.kind = version, kind


def at(body: JSONObject, path: tuple[str, ...]) -> Any:
    """Give the value at a path of fields, None where there is none."""
    found: Any = body
    for key in path:
        if not isinstance(found, dict):
            return None
        found = cast(JSONObject, found).get(key)
    return found


def put(body: JSONObject, path: tuple[str, ...], value: Any) -> None:
    """Set the value at a path of fields, and make the objects on the way to it."""
    *above, last = path
    found = body
    for key in above:
        below = found.get(key)
        if not isinstance(below, dict):
            below = found[key] = {}
        found = cast(JSONObject, below)
    found[last] = value


def _check_depth(body: JSONObject) -> None:
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            parts = cast(JSONObject, one).values() if isinstance(one, dict) else cast(JSONArray, one)
            below += [part for part in parts if isinstance(part, dict | list)]
        if not below:
            return
        level = below
    raise errors.BadRequest(f"the object has more than {MAX_DEPTH} objects and lists in each other")
