"""Rules in CEL: which objects they refuse, with upstream's words, and which rules are none."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.customresources import rules
from kubelab.apiserver.customresources.schema import compile_schema

INT, TEXT, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}
INTS = {"type": "array", "items": INT}
TIME, DURATION = {"type": "string", "format": "date-time"}, {"type": "string", "format": "duration"}
NAMED = {"type": "object", "properties": {"name": TEXT, "v": INT}}


def checked(rule: dict[str, Any], properties: dict[str, Any], new: Any, old: Any = None) -> list[Cause]:
    """Check an object whose spec has a rule."""
    spec = {"type": "object", "x-kubernetes-validations": [rule], "properties": properties}
    schema = compile_schema({"type": "object", "properties": {"spec": spec}})
    assert rules.validate(schema, "schema") == []
    return rules.Rules(schema).check({"spec": new}, None if old is None else {"spec": old})


HOLD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("self.min <= self.max", {"min": INT, "max": INT}, {"min": 1, "max": 1}),
    ("!has(self.max) || self.max > 3", {"max": INT}, {}),
    ("self.?max.orValue(4) > 3", {"max": INT}, {}),
    ("self.n > 0.5", {"n": NUMBER}, {"n": 1}),
    ("self.t > timestamp('2020-01-01T00:00:00Z')", {"t": TIME}, {"t": "2021-01-01T00:00:00Z"}),
    ("self.d < duration('1h')", {"d": DURATION}, {"d": "59m"}),
    (
        "self.__namespace__ == 'x' && self.a__dash__b == 'y'",
        {"namespace": TEXT, "a-b": TEXT},
        {"namespace": "x", "a-b": "y"},
    ),
    ("self.m.all(k, self.m[k] == 'v')", {"m": {"type": "object", "additionalProperties": TEXT}}, {"m": {"a-b": "v"}}),
    ("self.l.isSorted() && self.l.sum() == 6 && self.l.min() == 1 && self.l.max() == 3", {"l": INTS}, {"l": [1, 2, 3]}),
    ("self.s.find('[0-9]+') == '12' && self.s.findAll('[a-z]') == ['a', 'b']", {"s": TEXT}, {"s": "ab12"}),
    ("isIP(self.s) && !isCIDR(self.s) && !isURL('x')", {"s": TEXT}, {"s": "10.0.0.1"}),
    (
        "quantity(self.s).isGreaterThan(quantity('99Mi')) && quantity(self.s).isLessThan(quantity('1G'))",
        {"s": TEXT},
        {"s": "100Mi"},
    ),
    (
        "quantity(self.s) == quantity('0.5') && quantity(self.s).compareTo(quantity('1')) == -1",
        {"s": TEXT},
        {"s": "500m"},
    ),
    ("quantity(self.s).add(quantity('1')).sub(500).asInteger() == 501", {"s": TEXT}, {"s": "1k"}),
    ("quantity(self.s).isInteger() && quantity(self.s).sign() == -1", {"s": TEXT}, {"s": "-2k"}),
    ("quantity(self.s).asApproximateFloat() == 0.25", {"s": TEXT}, {"s": "250m"}),
    ("self.s.lowerAscii().split('-').join('_') == 'a_b'", {"s": TEXT}, {"s": "A-B"}),
]


@pytest.mark.parametrize(("rule", "properties", "spec"), HOLD, ids=lambda x: x if isinstance(x, str) else "")
def test_rules_that_hold(rule: str, properties: dict[str, Any], spec: dict[str, Any]) -> None:
    assert checked({"rule": rule}, properties, spec) == []
    assert checked({"rule": f"!({rule})"}, properties, spec) == [
        Cause("spec", f'Invalid value: "object": failed rule: !({rule})', "FieldValueInvalid")
    ]


def test_a_rule_without_a_value_is_refused_with_the_reason() -> None:
    (cause,) = checked({"rule": "self.min <= self.max"}, {"min": INT, "max": INT}, {"min": 1})
    assert cause.message == 'Invalid value: "object": no such key: max evaluating rule: self.min <= self.max'


def test_messages_reasons_and_paths() -> None:
    rule = {
        "rule": "self.a > 5",
        "messageExpression": "'a is ' + string(self.a)",
        "message": "not this one",
        "reason": "FieldValueForbidden",
        "fieldPath": ".a",
    }
    assert checked(rule, {"a": INT}, {"a": 1}) == [Cause("spec.a", "Forbidden: a is 1", "FieldValueForbidden")]
    rule["messageExpression"] = "string(self.b)"  # it has no value
    assert checked(rule, {"a": INT, "b": INT}, {"a": 1}) == [
        Cause("spec.a", "Forbidden: not this one", "FieldValueForbidden")
    ]


def test_a_rule_about_a_change_needs_one() -> None:
    rule = {"rule": "self.a >= oldSelf.a", "message": "a must grow"}
    assert checked(rule, {"a": INT}, {"a": 1}) == []
    assert checked(rule, {"a": INT}, {"a": 2}, {"a": 1}) == []
    assert [c.message for c in checked(rule, {"a": INT}, {"a": 1}, {"a": 2})] == [
        'Invalid value: "object": a must grow'
    ]


def test_what_an_update_leaves_as_it_is_stays_allowed() -> None:
    item = {**NAMED, "x-kubernetes-validations": [{"rule": "self.v > 0"}]}
    items = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    properties, old = {"items": items}, {"items": [{"name": "a", "v": 0}]}
    assert checked({"rule": "true"}, properties, {"items": [{"name": "b", "v": 1}, {"name": "a", "v": 0}]}, old) == []
    (cause,) = checked({"rule": "true"}, properties, {"items": [{"name": "a", "v": -1}]}, old)
    assert cause.field == "spec.items[0]"


def test_a_rule_that_takes_too_long_ends() -> None:
    rule = {"rule": "self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))"}
    (cause,) = checked(rule, {"l": INTS}, {"l": list(range(1000))})
    assert "running out of cost budget" in cause.message


NONE = [
    ("", "Required value: rule is not specified"),
    ("self.a >", "Syntax error"),
    ("selff.a > 1", "undeclared reference to 'selff"),
    ("'x'", "cel expression must evaluate to a bool"),
    ("self + 1 == 2", "no matching overload"),
    ("(" * 200 + "true" + ")" * 200, "recursion limit"),
    ("true || " * 2000 + "true", "must have at most"),
]


@pytest.mark.parametrize(("rule", "why"), NONE, ids=[rule[:20] for rule, _ in NONE])
def test_rules_that_are_none(rule: str, why: str) -> None:
    schema = {"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {"a": INT}}
    (cause,) = rules.validate(compile_schema(schema), "schema")
    assert cause.field == "schema.x-kubernetes-validations[0].rule"
    assert why in cause.message
