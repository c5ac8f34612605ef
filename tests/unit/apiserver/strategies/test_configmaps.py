"""Config maps: keys, size, immutability."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import CONFIG_KEY, Change, on_create, on_update, table

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {a: b}
"""
FROZEN = "Forbidden: field is immutable when `immutable` is set"
MIB = 1024 * 1024


@table(
    ({},),
    ({"data": {}},),
    (
        {"data": {"Node-1.conf_x": "", ".hidden": "", "...": ""}},
        "data[...]: Invalid value: \"...\": must not start with '..'",
    ),
    ({"data": {"b c": ""}}, f'data[b c]: Invalid value: "b c": {CONFIG_KEY}'),
    ({"data": {"..": ""}}, "data[..]: Invalid value: \"..\": must not be '..'"),
    ({"data": {".": ""}}, "data[.]: Invalid value: \".\": must not be '.'"),
    ({"data": {"..a": ""}}, "data[..a]: Invalid value: \"..a\": must not start with '..'"),
    (
        {"data": {"a" * 254: ""}},
        f'data[{"a" * 254}]: Invalid value: "{"a" * 254}": must be no more than 253 characters',
    ),
    ({"binaryData": {"b c": "AAA="}}, f'binaryData[b c]: Invalid value: "b c": {CONFIG_KEY}'),
    ({"binaryData": {"a": "AAA="}}, 'data[a]: Invalid value: "a": duplicate of key present in binaryData'),
    ({"data": {"a": "x" * MIB}},),
    ({"data": {"a": "ä" * (MIB // 2), "b": "x"}}, ": Too long: may not be more than 1048576 bytes"),
    (
        {"data": {"b c": "", "..": ""}, "binaryData": {"b c": ""}},
        "data[..]: Invalid value: \"..\": must not be '..'",
        f'data[b c]: Invalid value: "b c": {CONFIG_KEY}',
        'data[b c]: Invalid value: "b c": duplicate of key present in binaryData',
        f'binaryData[b c]: Invalid value: "b c": {CONFIG_KEY}',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"immutable": True},),
    ({"data.a": "c"},),
    ({"data": {"b c": ""}}, f'data[b c]: Invalid value: "b c": {CONFIG_KEY}'),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


@table(
    ({"metadata.labels[a]": "b"},),
    ({"immutable": False}, f"immutable: {FROZEN}"),
    ({"data.a": "c"}, f"data: {FROZEN}"),
    ({"binaryData.b": "AAA="}, f"binaryData: {FROZEN}"),
    (
        {"metadata.name": "other", "immutable": False, "data": {"b c": ""}},
        'metadata.name: Invalid value: "other": field is immutable',
        f"immutable: {FROZEN}",
        f"data: {FROZEN}",
        f'data[b c]: Invalid value: "b c": {CONFIG_KEY}',
    ),
)
def test_changes_of_a_frozen_one(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change, {"immutable": True}) == told
