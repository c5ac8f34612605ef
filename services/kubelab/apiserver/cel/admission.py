"""The expressions of admission: match conditions of webhooks and policies, and all else that a policy says
(https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression).

An expression is compiled once, with the types of the policy's variables, and evaluated for one request at a time. A
variable has its value when something asks for it: one that fails, and that nobody needs, fails nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.apiserver.cel.expressions import (
    EvaluationError,
    Expression,
    ExpressionError,
    NoValue,
    OutOfBudget,
    compile_expression,
)

BOOL, STRING, NULL = "BOOL", "STRING", "NULL"
MAX_EVALUATIONS = 5_000  # for one request
_TYPES = {"object": "dyn", "oldObject": "dyn", "request": "map", "namespaceObject": "dyn"}
_SHOWN = {BOOL: "bool", STRING: "string", NULL: "null_type"}
_PREFIX = "variables."
_VARIABLE = re.compile(r"\bvariables\s*\.\s*(\w+)")
_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression, or why it does not compile. ``uses`` are the variables that it may ask for."""

    text: str
    expression: Expression | None
    uses: frozenset[str]
    problem: str = ""


class Compiler:
    """Compiles the expressions of one policy, or of one list of match conditions. ``params`` says whether they may
    speak of parameters."""

    def __init__(self, *, params: bool = False) -> None:
        self._types = {**_TYPES, "params": "dyn"} if params else dict(_TYPES)

    def check(self, text: str, *types: str) -> Expression:
        """Compile an expression that must have one of these types, if any are given. ExpressionError, in upstream's
        words."""
        try:
            expression = compile_expression(text, self._types)
        except ExpressionError as err:
            raise ExpressionError(f"compilation failed: {err}") from err
        if types and expression.returns not in types:
            shown = [_SHOWN[one] for one in types]
            what = shown[0] if len(shown) == 1 else f"one of [{' '.join(shown)}]"
            raise ExpressionError(f"must evaluate to {what}")
        return expression

    def declare(self, name: str, text: str) -> Expression:
        """Compile a variable, which the expressions after it may ask for. ExpressionError."""
        expression = self.check(text)
        self._types[_PREFIX + name] = expression.returns
        return expression

    def compile(self, text: str, *types: str) -> Compiled:
        """Compile what was checked when it was stored; what does not compile fails when it is evaluated."""
        uses = frozenset(_VARIABLE.findall(text))
        try:
            return Compiled(text, self.check(text, *types), uses)
        except ExpressionError as err:
            return Compiled(text, None, uses, str(err))

    def variable(self, name: str, text: str) -> Compiled:
        """Compile a variable that was checked when it was stored."""
        compiled = self.compile(text)
        self._types[_PREFIX + name] = compiled.expression.returns if compiled.expression is not None else "dyn"
        return compiled


class Budget:
    """How many expressions may yet be evaluated for a request. OutOfBudget."""

    def __init__(self, most: int = MAX_EVALUATIONS) -> None:
        self._left = most

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OutOfBudget(_BUDGET)


class Evaluation:
    """What expressions are evaluated on: the values of one request, and a policy's variables, in their order."""

    def __init__(
        self, values: Mapping[str, Any], budget: Budget, variables: Iterable[tuple[str, Compiled]] = ()
    ) -> None:
        self._values, self._budget = dict(values), budget
        self._variables = dict(variables)
        self._failures: dict[str, EvaluationError] = {}

    def evaluate(self, compiled: Compiled) -> Any:
        """Give the value of an expression. EvaluationError, in upstream's words; OutOfBudget."""
        try:
            return self._value(compiled)
        except OutOfBudget:
            raise
        except EvaluationError as err:
            raise EvaluationError(f"expression '{compiled.text}' resulted in error: {err}") from err

    def _value(self, compiled: Compiled) -> Any:
        if compiled.expression is None:
            raise EvaluationError(compiled.problem)
        for name in compiled.uses:
            self._provide(name)
        self._budget.spend()
        try:
            return compiled.expression.evaluate(self._values)
        except NoValue as err:
            name = err.name.removeprefix(_PREFIX)
            why = self._failures.get(name, err)
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {why}') from err

    def _provide(self, name: str) -> None:
        """Evaluate a variable, once. One that fails has no value, which only those notice that ask for it."""
        key = _PREFIX + name
        variable = self._variables.get(name)
        if variable is None or key in self._values or name in self._failures:
            return
        self._failures[name] = EvaluationError("it asks for itself")
        try:
            self._values[key] = self._value(variable)
            del self._failures[name]
        except OutOfBudget:
            raise
        except EvaluationError as err:
            self._failures[name] = err


def conditions_met(conditions: Sequence[Compiled], evaluation: Evaluation) -> bool:
    """Whether all match conditions hold. One that is false decides, whatever became of the others; EvaluationError
    where none is and some could not be evaluated."""
    problems: list[EvaluationError] = []
    for condition in conditions:
        try:
            if evaluation.evaluate(condition) is not True:
                return False
        except EvaluationError as err:
            problems.append(err)
    if problems:
        texts = list(dict.fromkeys(str(problem) for problem in problems))
        raise EvaluationError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return True


def match_conditions(conditions: Iterable[Any], *, params: bool = False) -> tuple[Compiled, ...]:
    """Compile stored match conditions."""
    compiler = Compiler(params=params)
    return tuple(compiler.compile(condition.expression.strip(), BOOL) for condition in conditions)
