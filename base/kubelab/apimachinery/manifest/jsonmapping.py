"""The types whose JSON form differs from their message's fields: times, quantities, JSON inside and lists in maps."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

TIME = "kubelab.api.meta.v1.Time"
MICRO_TIME = "kubelab.api.meta.v1.MicroTime"
QUANTITY = "kubelab.api.resource.Quantity"
INT_OR_STRING = "kubelab.api.intstr.IntOrString"
FIELDS = "kubelab.api.meta.v1.FieldsV1"
RAW_EXTENSION = "kubelab.api.runtime.RawExtension"
EXTRA_VALUES = tuple(
    f"kubelab.api.{group}.v1.ExtraValue" for group in ("authentication", "authorization", "certificates")
)
CUSTOM_OBJECT = "kubelab.api.custom.CustomObject"
_APIEXTENSIONS = "kubelab.api.apiextensions.v1"
JSON_VALUE = f"{_APIEXTENSIONS}.JSON"
SCHEMA_OR_BOOL = f"{_APIEXTENSIONS}.JSONSchemaPropsOrBool"
SCHEMA_OR_ARRAY = f"{_APIEXTENSIONS}.JSONSchemaPropsOrArray"
SCHEMA_OR_STRINGS = f"{_APIEXTENSIONS}.JSONSchemaPropsOrStringArray"
SCHEMA_OR = frozenset((SCHEMA_OR_BOOL, SCHEMA_OR_ARRAY, SCHEMA_OR_STRINGS))
"""A schema, or another value in its place."""
LEAVES = frozenset(
    {TIME, MICRO_TIME, QUANTITY, INT_OR_STRING, FIELDS, RAW_EXTENSION, JSON_VALUE, *SCHEMA_OR, *EXTRA_VALUES}
)

QUANTITY_FORM = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OUT_OF_RANGE = "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z"
MIN_SECONDS, MAX_SECONDS = -62135596800, 253402300799  # 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z


def parse_time(text: str) -> tuple[int, int] | None:
    """Read RFC 3339 as seconds since the epoch and nanoseconds; None when it is something else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    if sign:
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        try:
            moment = moment - offset if sign == "+" else moment + offset
        except OverflowError:
            return None
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds, int((fraction or "").ljust(9, "0"))


def is_time(seconds: int, nanos: int) -> bool:
    """Whether it is a moment that RFC 3339 can write: one of the years 1 to 9999."""
    return MIN_SECONDS <= seconds <= MAX_SECONDS and 0 <= nanos < 10**9


def format_time(seconds: int, nanos: int, *, micro: bool = False) -> str:
    """Write ``2006-01-02T15:04:05Z``, or with ``micro`` ``2006-01-02T15:04:05.000000Z``.

    What is no moment of the years 1 to 9999 is ``<invalid>``: one such object must not hide all others.
    """
    if not is_time(seconds, nanos):
        return "<invalid>"
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{text}.{nanos // 1000:06d}Z" if micro else f"{text}Z"
