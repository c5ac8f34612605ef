"""JSON patch, RFC 6902, with the leniency and the words of the library that Kubernetes uses (evanphx/json-patch v4):
``replace`` of a key that an object does not have adds it, an index may be negative, and a missing value is null to
``test``."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

from kubelab.apimachinery.patch.errors import BadPatch, PatchTooLarge, UnprocessablePatch
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, copied, equal, load

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024  # bytes that the "copy" operations of one patch may add, as upstream's api-server allows

_INDEX = re.compile(r"[+-]?[0-9]+")
_MISSING = object()


class Operation(NamedTuple):
    """One step: ``path`` and ``source`` (the ``from``) are None where the patch has none."""

    kind: str
    path: str | None
    source: str | None
    value: Any


def decode(text: str | bytes | Any) -> list[Operation]:
    """Read a patch; from text, or from what a JSON reader gave. BadPatch, PatchTooLarge."""
    if isinstance(text, str | bytes):
        try:
            steps: Any = load(text)
        except ValueError as err:
            raise BadPatch(str(err)) from err
    else:
        steps = text
    if not isinstance(steps, list):
        what = {dict: "object", str: "string", bool: "bool", type(None): "null"}.get(type(steps), "number")
        raise BadPatch(f"json: cannot unmarshal {what} into Go value of type jsonpatch.Patch")
    found = cast(JSONArray, steps)
    if len(found) > MAX_OPERATIONS:
        raise PatchTooLarge(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(found)}")
    return [_operation(step) for step in found]


def _operation(step: Any) -> Operation:
    if not isinstance(step, dict):
        what = {list: "array", str: "string", bool: "bool"}.get(type(step), "number")
        raise BadPatch(f"json: cannot unmarshal {what} into Go value of type jsonpatch.Operation")
    fields = cast(JSONObject, step)
    kind, path, source = (fields.get(key) for key in ("op", "path", "from"))
    return Operation(
        kind if isinstance(kind, str) else "unknown",
        path if isinstance(path, str) else None,
        source if isinstance(source, str) else None,
        fields.get("value", _MISSING),
    )


def apply(document: JSONObject, operations: list[Operation]) -> JSONObject:
    """Do all steps, or raise UnprocessablePatch."""
    result: JSONObject = copied(document)
    room = MAX_COPIED
    for operation in operations:
        match operation.kind:
            case "add":
                _add(result, operation, _given(operation), "add")
            case "remove":
                _remove(result, operation)
            case "replace":
                _replace(result, operation)
            case "move":
                _add(result, operation, _take(result, operation), "move")
            case "copy":
                value = _source(result, operation, "copy")
                room -= len(repr(value))
                if room < 0:
                    raise UnprocessablePatch(
                        "Unable to complete the copy, the accumulated size increase of copy is "
                        f"{MAX_COPIED - room}, exceeding the limit {MAX_COPIED}"
                    )
                _add(result, operation, copied(value), "copy")
            case "test":
                _test(result, operation)
            case _:
                raise UnprocessablePatch(f"Unexpected kind: {operation.kind}")
    return result


def _given(operation: Operation) -> Any:
    return None if operation.value is _MISSING else copied(operation.value)


def _path(operation: Operation) -> str:
    if operation.path is None:
        missing = "operation missing path field: missing value"
        raise UnprocessablePatch(f"{operation.kind} operation failed to decode path: {missing}")
    return operation.path


def _parent(document: Any, path: str) -> tuple[Any, str] | None:
    """Find the object or list that a path's last part stands in, and that part; None where the way there is broken."""
    parts = path.split("/")
    if len(parts) < 2:
        return None
    node = document
    for part in parts[1:-1]:
        try:
            node = _get(node, _unescaped(part))
        except UnprocessablePatch:
            return None
        if not isinstance(node, dict | list):
            return None
    return node, _unescaped(parts[-1])


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _get(node: Any, key: str) -> Any:
    """Give a part of an object (None where it is missing) or of a list."""
    if isinstance(node, dict):
        return cast(JSONObject, node).get(key)
    elements = cast(JSONArray, node)
    index = _atoi(key)
    if not -len(elements) <= index < len(elements):
        raise UnprocessablePatch(f"Unable to access invalid index: {index}: invalid index referenced")
    return elements[index]


def _atoi(key: str) -> int:
    if not _INDEX.fullmatch(key) or len(key) > 18:
        raise UnprocessablePatch(f'strconv.Atoi: parsing "{key}": invalid syntax')
    return int(key)


def _add(document: JSONObject, operation: Operation, value: Any, doing: str) -> None:
    path = _path(operation)
    failed = "error while adding value during copy" if doing == "copy" else f"error in {doing} for path: '{path}'"
    found = _parent(document, path)
    if found is None:
        missing = {"add": f'path: "{path}"'}.get(doing, f"destination path: {path}")
        raise UnprocessablePatch(f"{doing} operation does not apply: doc is missing {missing}: missing value")
    node, key = found
    if isinstance(node, dict):
        cast(JSONObject, node)[key] = value
        return
    elements = cast(JSONArray, node)
    if key == "-":
        elements.append(value)
        return
    try:
        index = _atoi(key)
    except UnprocessablePatch as err:
        why = f"value was not a proper array index: '{key}': {err}"
        raise UnprocessablePatch(f"{failed}: {why}") from err
    if not -len(elements) - 1 <= index <= len(elements):
        why = f"Unable to access invalid index: {index}: invalid index referenced"
        raise UnprocessablePatch(f"{failed}: {why}")
    elements.insert(index if index >= 0 else index + len(elements) + 1, value)


def _remove(document: JSONObject, operation: Operation) -> None:
    path = _path(operation)
    found = _parent(document, path)
    if found is None:
        raise UnprocessablePatch(f'remove operation does not apply: doc is missing path: "{path}": missing value')
    _delete(*found, f"error in remove for path: '{path}'")


def _delete(node: Any, key: str, doing: str) -> None:
    if isinstance(node, dict):
        fields = cast(JSONObject, node)
        if key not in fields:
            raise UnprocessablePatch(f"{doing}: Unable to remove nonexistent key: {key}: missing value")
        del fields[key]
        return
    elements = cast(JSONArray, node)
    try:
        _get(elements, key)
    except UnprocessablePatch as err:
        raise UnprocessablePatch(f"{doing}: {err}") from err
    del elements[_atoi(key)]


def _replace(document: JSONObject, operation: Operation) -> None:
    path = _path(operation)
    found = _parent(document, path)
    if found is None:
        raise UnprocessablePatch(f"replace operation does not apply: doc is missing path: {path}: missing value")
    node, key = found
    try:
        _get(node, key)
    except UnprocessablePatch as err:
        missing = f"replace operation does not apply: doc is missing key: {path}: missing value"
        raise UnprocessablePatch(missing) from err
    node[int(key) if isinstance(node, list) else key] = _given(operation)


def _source(document: JSONObject, operation: Operation, doing: str) -> Any:
    if operation.source is None:
        missing = "operation, missing from field: missing value"
        raise UnprocessablePatch(f"{doing} operation failed to decode from: {missing}")
    found = _parent(document, operation.source)
    if found is None:
        raise UnprocessablePatch(
            f"{doing} operation does not apply: doc is missing from path: {operation.source}: missing value"
        )
    try:
        return _get(*found)
    except UnprocessablePatch as err:
        place = f"for path: '{found[1]}'" if doing == "move" else f"for from: '{operation.source}'"
        raise UnprocessablePatch(f"error in {doing} {place}: {err}") from err


def _take(document: JSONObject, operation: Operation) -> Any:
    value = _source(document, operation, "move")
    assert operation.source is not None
    node, key = cast(tuple[Any, str], _parent(document, operation.source))
    _delete(node, key, f"error in move for path: '{key}'")
    return value


def _test(document: JSONObject, operation: Operation) -> None:
    path = _path(operation)
    found = _parent(document, path)
    if found is None:
        raise UnprocessablePatch(f"test operation does not apply: is missing path: {path}: missing value")
    try:
        value = _get(*found)
    except UnprocessablePatch as err:
        raise UnprocessablePatch(f"error in test for path: '{path}': {err}") from err
    if not equal(value, _given(operation)):
        raise UnprocessablePatch(f"testing value {path} failed: test failed")
