"""What one policy says about one request, with one set of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubelab.apiserver.admission.policies.compiled import Check, Policy
from kubelab.apiserver.cel.admission import Budget, Evaluation, conditions_met
from kubelab.apiserver.cel.expressions import EvaluationError, OutOfBudget

MAX_MESSAGE = 5 * 1024  # characters of a message that an expression makes


@dataclass(frozen=True, slots=True)
class Violation:
    """A validation that does not hold, or cannot be evaluated. ``index`` is its place in the policy."""

    message: str
    reason: str = "Invalid"
    index: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``annotations`` are for the audit record; ``failures`` are annotations that cannot be evaluated."""

    violations: list[Violation] = field(default_factory=list[Violation])
    annotations: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    failures: list[Violation] = field(default_factory=list[Violation])


def judge(policy: Policy, values: Mapping[str, Any], namespace: Mapping[str, Any] | None, budget: Budget) -> Verdict:
    """Evaluate a policy on a request's ``values``: ``object``, ``oldObject``, ``request`` and ``params``."""
    verdict = Verdict()
    try:
        if not conditions_met(policy.conditions, Evaluation({**values, "namespaceObject": None}, budget)):
            return verdict
        evaluation = Evaluation({**values, "namespaceObject": namespace}, budget, policy.variables)
        for index, check in enumerate(policy.checks):
            violation = _violation(check, evaluation, index, ignore=policy.ignores_failures)
            if violation is not None:
                verdict.violations.append(violation)
        _annotate(policy, evaluation, verdict)
    except EvaluationError as err:
        if not policy.ignores_failures:
            verdict.violations[:] = [Violation(str(err))]
    return verdict


def _violation(check: Check, evaluation: Evaluation, index: int, *, ignore: bool) -> Violation | None:
    """Evaluate one validation; OutOfBudget."""
    try:
        if evaluation.evaluate(check.expression) is True:
            return None
    except OutOfBudget:
        raise
    except EvaluationError as err:
        return None if ignore else Violation(str(err), index=index)
    return Violation(_message(check, evaluation), check.validation.reason or "Invalid", index)


def _message(check: Check, evaluation: Evaluation) -> str:
    """Say what is wrong: in the words that an expression makes, else in the policy's, else with the expression."""
    if check.message is not None:
        try:
            said = evaluation.evaluate(check.message)
        except OutOfBudget as err:
            raise OutOfBudget(f"failed messageExpression: {err}") from err
        except EvaluationError:
            said = ""
        text = said.strip() if isinstance(said, str) else ""
        if text and len(text) <= MAX_MESSAGE and "\n" not in text:
            return text
    return check.validation.message.strip() or f"failed expression: {check.validation.expression.strip()}"


def _annotate(policy: Policy, evaluation: Evaluation, verdict: Verdict) -> None:
    for key, expression in policy.annotations:
        try:
            value = evaluation.evaluate(expression)
        except OutOfBudget:
            raise
        except EvaluationError as err:
            if not policy.ignores_failures:
                verdict.failures.append(Violation(str(err)))
            continue
        if isinstance(value, str) and value.strip():
            verdict.annotations.append((key, value.strip()))
