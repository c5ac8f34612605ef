"""Secrets: keys, size, immutability, and what each type holds."""

from __future__ import annotations

import base64

import pytest

from kubelab.apimachinery import gojson
from tests.unit.apiserver.strategies.answers import CONFIG_KEY, RULES, Change, on_create, on_update, stored, table

MANIFEST = """
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: default}
data: {a: YQ==}
"""
FROZEN = "Forbidden: field is immutable when `immutable` is set"
MIB = 1024 * 1024


def held(**data: str) -> Change:
    return {"data": {key.replace("_", "."): base64.b64encode(text.encode()).decode() for key, text in data.items()}}


def of_type(name: str, **data: str) -> Change:
    return {"type": f"kubernetes.io/{name}", **held(**data)}


@table(
    ({},),
    ({"type": "example.com/own"},),
    (
        {"data": {"b c": "", "..": ""}},
        "data[..]: Invalid value: \"..\": must not be '..'",
        f'data[b c]: Invalid value: "b c": {CONFIG_KEY}',
    ),
    ({"stringData": {"b c": ""}}, f'data[b c]: Invalid value: "b c": {CONFIG_KEY}'),
    (held(a="x" * MIB),),
    (held(a="x" * MIB, b="x"), "data: Too long: may not be more than 1048576 bytes"),
    (of_type("service-account-token"), "metadata.annotations[kubernetes.io/service-account.name]: Required value"),
    ({**of_type("service-account-token"), "metadata.annotations[kubernetes.io/service-account.name]": "default"},),
    (of_type("dockercfg"), "data[.dockercfg]: Required value"),
    (of_type("dockerconfigjson"), "data[.dockerconfigjson]: Required value"),
    (of_type("dockerconfigjson", _dockerconfigjson="{}"),),
    (
        of_type("dockerconfigjson", _dockerconfigjson="auths"),
        "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'a' looking for "
        "beginning of value",
    ),
    (
        of_type("dockercfg", _dockercfg="[]"),
        'data[.dockercfg]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go '
        "value of type "
        "map[string]interface {}",
    ),
    (of_type("basic-auth", username="a"),),
    (of_type("basic-auth", password=""),),
    (of_type("basic-auth"), "data[username]: Required value", "data[password]: Required value"),
    ({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}}, "data[ssh-privatekey]: Required value"),
    ({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": "YQ=="}},),
    (of_type("tls", tls_crt=""), "data[tls.key]: Required value"),
    (of_type("tls"), "data[tls.crt]: Required value", "data[tls.key]: Required value"),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"data": {"b": ""}, "immutable": True},),
    ({"type": "other"}, 'type: Invalid value: "other": field is immutable'),
    (
        {"metadata.name": "other", "type": "kubernetes.io/tls"},
        'metadata.name: Invalid value: "other": field is immutable',
        'type: Invalid value: "kubernetes.io/tls": field is immutable',
        "data[tls.crt]: Required value",
        "data[tls.key]: Required value",
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


@table(
    ({"metadata.labels[a]": "b"},),
    ({"immutable": False, "stringData": {"a": "other"}}, f"immutable: {FROZEN}", f"data: {FROZEN}"),
)
def test_changes_of_a_frozen_one(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change, {"immutable": True}) == told


def test_what_field_selectors_can_ask_for() -> None:
    assert RULES["secrets"].selectable_fields(stored(MANIFEST))["type"] == "Opaque"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", ""),
        ('{"a": {"b": [1, "]"]}}', ""),
        ("null", ""),
        ("", "unexpected end of JSON input"),
        ("  ", "unexpected end of JSON input"),
        ('{"a": 1', "unexpected end of JSON input"),
        ('{"a', "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ('{"a": NaN}', "invalid character 'N' looking for beginning of value"),
        ("'a'", "invalid character '\\'' looking for beginning of value"),
        ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a": 1 "b": 2}', "invalid character '\"' after object key:value pair"),
        ('{"a": [1 2]}', "invalid character '2' after array element"),
        ('{"a[\\"": 1 2}', "invalid character '2' after object key:value pair"),
        ("{} {}", "invalid character '{' after top-level value"),
        ('{"a": "b\nc"}', "invalid character '\\n' in string literal"),
        ('{"a": "\\x"}', "invalid character 'x' in string escape code"),
        ('{"a": ' * 100_000, "exceeded max depth"),
        ("1" * 5000, "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ('"a"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        ("1.5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ("true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
    ],
)
def test_json_in_go_words(text: str, told: str) -> None:
    assert gojson.no_object(text.encode()) == told
