"""``kctl create priorityclass`` and ``poddisruptionbudget``: kubectl's objects, words and exit codes."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.scheme import POD_DISRUPTION_BUDGETS, PRIORITY_CLASSES
from tests.unit.kctl.conftest import Shell

HIGH = """\
apiVersion: scheduling.k8s.io/v1
description: hi
kind: PriorityClass
metadata:
  creationTimestamp: null
  name: high
preemptionPolicy: PreemptLowerPriority
value: 1000
"""
BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  creationTimestamp: null
  name: web
spec:
  minAvailable: 1
  selector:
    matchLabels:
      app: web
status:
  currentHealthy: 0
  desiredHealthy: 0
  disruptionsAllowed: 0
  expectedPods: 0
"""


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ("priorityclass high --value=1000 --description=hi", HIGH),
        ("pdb web --selector=app=web --min-available=1", BUDGET),
        (
            "pdb web --selector=app=web --max-unavailable=50%",
            BUDGET.replace("minAvailable: 1", "maxUnavailable: 50%"),
        ),
    ],
)
def test_as_kubectl(shell: Shell, line: str, document: str) -> None:
    assert shell("create", *line.split(), "--dry-run=client", "-o", "yaml").stdout == document


def test_they_are_created(shell: Shell) -> None:
    assert shell("create", "pc", "high", "--value=5", "--preemption-policy=Never").stdout == (
        "priorityclass.scheduling.k8s.io/high created\n"
    )
    made = shell.server.get(PRIORITY_CLASSES, "high")
    assert made is not None
    assert (made.value, made.preemptionPolicy) == (5, "Never")
    assert shell("create", "pdb", "web", "--selector=app=web", "--min-available=2").stdout == (
        "poddisruptionbudget.policy/web created\n"
    )
    assert shell.server.get(POD_DISRUPTION_BUDGETS, "default/web") is not None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("pdb web --selector=app=web", "one of min-available or max-unavailable must be specified"),
        ("pdb web --min-available=1", "a selector must be specified"),
        (
            "pdb web --selector=app=web --min-available=1 --max-unavailable=1",
            "min-available and max-unavailable cannot be both specified",
        ),
        ("pdb web --selector=app=web --min-available=x", "invalid format specified for min-available"),
        (
            "priorityclass",
            "exactly one NAME is required, got 0\nSee 'kctl create priorityclass -h' for help and examples",
        ),
    ],
)
def test_wrong_command_lines(shell: Shell, line: str, error: str) -> None:
    outcome = shell("create", *line.split())
    assert (outcome.code, outcome.stdout, outcome.stderr) == (1, "", f"error: {error}\n")
