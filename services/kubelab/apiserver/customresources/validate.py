"""Whether a value fits its schema, in the words of upstream's validator (kube-openapi's ``pkg/validation``)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, cast

from kubelab.apimachinery import durations, names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.manifest.jsonmapping import parse_time
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, equal, number
from kubelab.apiserver.customresources.patterns import compiled
from kubelab.apiserver.customresources.schema import Schema
from kubelab.apiserver.customresources.shaping import OWN_FIELDS
from kubelab.apiserver.strategies import causes

MAX_COMPLAINTS = 100  # about one object
_NOWHERE = "<nil>"


def validate(value: JSONObject, schema: Schema) -> list[Cause]:
    """Give the complaints about an object's fields, but for those that every object has."""
    found: list[Cause] = []
    for cause in _object_parts(value, schema, "", OWN_FIELDS):
        found.append(cause)
        if len(found) == MAX_COMPLAINTS:
            break
    if len(found) < MAX_COMPLAINTS:
        found += list(_composed(value, schema.raw, ""))
        found += list(_counts_of_object(value, schema.raw, ""))
    return found


def fits(value: Any, schema: Schema, path: str = "") -> list[Cause]:
    """Give the complaints about a value that is no object of its own, such as a default."""
    return list(_wrong(value, schema, path))


def _wrong(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if value is None:
        if schema.nullable or (not schema.type and not schema.int_or_string):
            return
        yield _wrong_type(value, schema, path)
        return
    if not _has_type(value, schema):
        yield _wrong_type(value, schema, path)
    if isinstance(value, dict):
        own = OWN_FIELDS if schema.embedded else frozenset[str]()
        if schema.embedded:
            yield from _embedded(cast(JSONObject, value), path)
        yield from _object_parts(cast(JSONObject, value), schema, path, own)
        yield from _counts_of_object(cast(JSONObject, value), schema.raw, path)
    elif isinstance(value, list):
        items = cast(JSONArray, value)
        if schema.items is not None:
            for at, part in enumerate(items):
                yield from _wrong(part, schema.items, f"{path}[{at}]")
        yield from _list_type(items, schema, path)
    yield from _plain(value, schema.raw, path)
    yield from _composed(value, schema.raw, path)


def _embedded(value: JSONObject, path: str) -> Iterator[Cause]:
    """Complain of an object in a field that lacks what every object has."""
    for key in ("apiVersion", "kind"):
        if not value.get(key):
            yield causes.required(_below(path, key), "must not be empty")
        elif not isinstance(value[key], str):
            yield Cause(_below(path, key), "Invalid value: must be a string", "FieldValueInvalid")


def _object_parts(value: JSONObject, schema: Schema, path: str, own: frozenset[str]) -> Iterator[Cause]:
    for key in schema.raw.get("required", ()):
        if key not in value:
            yield causes.required(_below(path, key))
    for key, part in value.items():
        if key in own:
            continue
        below = schema.properties.get(key) or schema.values
        if below is not None:
            yield from _wrong(part, below, _below(path, key))


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _has_type(value: Any, schema: Schema) -> bool:
    if schema.int_or_string:
        return isinstance(value, str) or _is_whole(value)
    return not schema.type or _TYPES.get(schema.type, lambda _: True)(value)


def _is_whole(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_whole,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    names_of: dict[type, str] = {str: "string", float: "number", dict: "object", list: "array"}
    return names_of[type(value)]


def _wrong_type(value: Any, schema: Schema, path: str) -> Cause:
    found = _type_of(value)
    expected = "integer,string" if schema.int_or_string else schema.type
    text = f'{path} in body must be of type {expected}: "{found}"'
    return Cause(path or _NOWHERE, f'Invalid value: "{found}": {text}', "FieldValueTypeInvalid")


def shown(value: Any) -> str:
    """Write a value as these messages have it: text in quotes, objects and lists as JSON."""
    if isinstance(value, str):
        return causes.quoted(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return causes.shown(value)


def _invalid(path: str, value: Any, text: str) -> Cause:
    return Cause(path or _NOWHERE, f"Invalid value: {shown(value)}: {path} in body {text}", "FieldValueInvalid")


def _plain(value: Any, raw: JSONObject, path: str) -> Iterator[Cause]:
    """Complain about one value by itself."""
    if "enum" in raw and not any(equal(_as_go(value), _as_go(one)) for one in raw["enum"]):
        supported = ", ".join(causes.quoted(one) if isinstance(one, str) else shown(one) for one in raw["enum"])
        text = f"Unsupported value: {shown(value)}: supported values: {supported}"
        yield Cause(path or _NOWHERE, text, "FieldValueNotSupported")
    if isinstance(value, str):
        yield from _text(value, raw, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, raw, path)
    elif isinstance(value, list):
        count = len(cast(JSONArray, value))
        if (least := raw.get("minItems")) is not None and count < least:
            yield _invalid(path, count, f"should have at least {least} items")
        if (most := raw.get("maxItems")) is not None and count > most:
            yield from causes.at_most(path or _NOWHERE, count, most)


def _as_go(value: Any) -> Any:
    """Whole floats and integers are the same number in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: str, raw: JSONObject, path: str) -> Iterator[Cause]:
    if (most := raw.get("maxLength")) is not None and len(value) > most:
        yield causes.too_long(path or _NOWHERE, most)
    if (least := raw.get("minLength")) is not None and len(value) < least:
        yield _invalid(path, value, f"should be at least {least} chars long")
    if (pattern := raw.get("pattern")) and not compiled(pattern).search(value):
        yield _invalid(path, value, f"should match '{pattern}'")
    form = raw.get("format", "")
    check = _FORMATS.get(form)
    if check is not None and not check(value):
        text = f"Invalid value: {shown(value)}: {path} in body must be of type {form}: {shown(value)}"
        yield Cause(path or _NOWHERE, text, "FieldValueInvalid")


def _number(value: float, raw: JSONObject, path: str) -> Iterator[Cause]:
    if (most := raw.get("maximum")) is not None:
        if raw.get("exclusiveMaximum"):
            if value >= most:
                yield _invalid(path, value, f"should be less than {shown(most)}")
        elif value > most:
            yield _invalid(path, value, f"should be less than or equal to {shown(most)}")
    if (least := raw.get("minimum")) is not None:
        if raw.get("exclusiveMinimum"):
            if value <= least:
                yield _invalid(path, value, f"should be greater than {shown(least)}")
        elif value < least:
            yield _invalid(path, value, f"should be greater than or equal to {shown(least)}")
    if (factor := raw.get("multipleOf")) and not (value / factor).is_integer():
        yield _invalid(path, value, f"should be a multiple of {shown(factor)}")
    bits = {"int32": 31, "int64": 63}.get(raw.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        yield _invalid(path, value, f"must be of type {raw['format']}")


def _counts_of_object(value: JSONObject, raw: JSONObject, path: str) -> Iterator[Cause]:
    if (least := raw.get("minProperties")) is not None and len(value) < least:
        yield _invalid(path, value, f"should have at least {least} properties")
    if (most := raw.get("maxProperties")) is not None and len(value) > most:
        yield from causes.at_most(path or _NOWHERE, len(value), most)


def _list_type(items: JSONArray, schema: Schema, path: str) -> Iterator[Cause]:
    """Complain of elements of a set or of an associative list that are there twice."""
    if schema.list_type not in ("set", "map"):
        return
    seen: set[str] = set()
    for at, part in enumerate(items):
        identity = part
        if schema.list_type == "map":
            if not isinstance(part, dict):
                continue
            identity = {key: part[key] for key in schema.list_keys if key in part}
        text = json.dumps(identity, sort_keys=True)
        if text in seen:
            yield Cause(f"{path}[{at}]", f"Duplicate value: {shown(identity)}", "FieldValueDuplicate")
        seen.add(text)


# --- allOf, anyOf, oneOf, not


def _composed(value: Any, raw: JSONObject, path: str) -> Iterator[Cause]:
    for part in raw.get("allOf", ()):
        yield from _nested(value, part, path)
    if any_of := raw.get("anyOf"):
        yield from _some(value, any_of, path, "must validate at least one schema (anyOf)", exactly_one=False)
    if one_of := raw.get("oneOf"):
        yield from _some(value, one_of, path, "must validate one and only one schema (oneOf)", exactly_one=True)
    if (excluded := raw.get("not")) is not None and not list(_nested(value, excluded, path)):
        yield _whole(path, "must not validate the schema (not)")


def _some(value: Any, schemas: list[JSONObject], path: str, text: str, *, exactly_one: bool) -> Iterator[Cause]:
    results = [list(_nested(value, one, path)) for one in schemas]
    valid = sum(1 for result in results if not result)
    if not valid:
        yield _whole(path, f"{text}. Found none valid" if exactly_one else text)
        yield from min(results, key=len)
    elif exactly_one and valid > 1:
        yield _whole(path, f"{text}. Found {valid} valid alternatives")


def _whole(path: str, text: str) -> Cause:
    return Cause(_NOWHERE, f'Invalid value: "": "{path}" {text}', "FieldValueInvalid")


def _nested(value: Any, raw: JSONObject, path: str) -> Iterator[Cause]:
    """Complain about a value by a schema that only adds conditions."""
    yield from _wrong(value, _nested_schema(json.dumps(raw, sort_keys=True)), path)


@lru_cache(maxsize=1024)
def _nested_schema(text: str) -> Schema:
    from kubelab.apiserver.customresources.schema import compile_schema

    return compile_schema({"nullable": True, **json.loads(text)})


# --- formats


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return parse(value) is not None
        except ValueError:
            return False

    return check


_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_HOST = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,62})?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,62})?)*\.?")
_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:.*|/.*")
_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _parses(parse_time),
    "datetime": _parses(parse_time),
    "date": lambda value: _DATE.fullmatch(value) is not None,
    "byte": _is_base64,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(lambda value: ipaddress.ip_interface(value) if "/" in value else None),
    "mac": lambda value: re.fullmatch(r"(?i)([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", value) is not None,
    "uuid": lambda value: _UUID.fullmatch(value) is not None,
    "hostname": lambda value: len(value) <= 255 and _HOST.fullmatch(value) is not None,
    "email": lambda value: _EMAIL.fullmatch(value) is not None,
    "uri": lambda value: _URI.match(value) is not None,
    "duration": _parses(durations.parse),
    "k8s-short-name": lambda value: not names.dns_label(value),
    "k8s-long-name": lambda value: not names.dns_subdomain(value),
}
