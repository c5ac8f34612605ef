"""The rules of label selectors."""

from __future__ import annotations

import pytest

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apiserver.strategies import labelselectors
from tests.unit.apiserver.strategies.answers import LABEL_VALUE, QUALIFIED

FIELD = "spec.selector"


@pytest.mark.parametrize(
    ("key", "operator", "values", "complaints"),
    [
        ("tier", "In", ["a"], []),
        ("tier", "Exists", [], []),
        ("tier", "In", [], ["values: Required value: must be specified when `operator` is 'In' or 'NotIn'"]),
        (
            "tier",
            "DoesNotExist",
            ["a"],
            ["values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"],
        ),
        ("tier", "Is", ["a"], ['operator: Invalid value: "Is": not a valid selector operator']),
        ("a b", "Exists", [], [f'key: Invalid value: "a b": {QUALIFIED}']),
        ("tier", "In", ["a", "c d"], [f'values[1]: Invalid value: "c d": {LABEL_VALUE}']),
    ],
)
def test_requirements(key: str, operator: str, values: list[str], complaints: list[str]) -> None:
    selector = meta_pb2.LabelSelector()
    selector.matchExpressions.add(key=key, operator=operator, values=values)
    told = [f"{cause.field}: {cause.message}" for cause in labelselectors.validate(selector, FIELD)]
    assert told == [f"{FIELD}.matchExpressions[0].{complaint}" for complaint in complaints]


def test_a_selector_as_messages_show_it() -> None:
    selector = meta_pb2.LabelSelector(matchLabels={"app": "web"})
    nothing = 'v1.LabelSelector{MatchLabels:map[string]string{"app":"web"}, MatchExpressions:'
    assert labelselectors.shown(selector) == f"{nothing}[]v1.LabelSelectorRequirement(nil)}}"
    selector.matchExpressions.add(key="tier", operator="In", values=["a"])
    one = '{v1.LabelSelectorRequirement{Key:"tier", Operator:"In", Values:[]string{"a"}}}'
    assert labelselectors.shown(selector) == f"{nothing}[]v1.LabelSelectorRequirement{one}}}"
