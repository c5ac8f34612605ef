"""Disruption budgets: their rules."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.manifest.decode import decode
from tests.unit.apiserver.strategies.answers import RULES


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        ("{minAvailable: 1, selector: {matchLabels: {app: web}}}", []),
        ("{maxUnavailable: 50%}", []),
        ("{unhealthyPodEvictionPolicy: AlwaysAllow, maxUnavailable: 0}", []),
        (
            "{minAvailable: 1, maxUnavailable: 1}",
            [
                "spec: Invalid value: policy.PodDisruptionBudgetSpec{…}: minAvailable and maxUnavailable cannot be "
                "both set"
            ],
        ),
        ("{minAvailable: -1}", ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]),
        (
            "{maxUnavailable: 101%}",
            [
                "spec.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, "
                'StrVal:"101%"}: must not be greater than 100%'
            ],
        ),
        (
            "{minAvailable: 1, unhealthyPodEvictionPolicy: Never}",
            [
                'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", '
                '"IfHealthyBudget"'
            ],
        ),
    ],
)
def test_a_budget_is_refused_in_upstreams_words(spec: str, complaints: list[str]) -> None:
    (document,) = decode(
        f"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: b, namespace: d}}\nspec: {spec}\n",
        "b.yml",
    )
    rules = RULES["poddisruptionbudgets"]
    rules.default(document.obj)
    rules.prepare_for_create(document.obj)
    assert [f"{cause.field}: {cause.message}" for cause in rules.validate(document.obj)] == complaints
