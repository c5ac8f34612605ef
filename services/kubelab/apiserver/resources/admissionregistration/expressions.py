"""What the expressions of webhooks and policies must be (upstream: pkg/apis/admissionregistration/validation)."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.cel.admission import BOOL, Compiler
from kubelab.apiserver.cel.expressions import ExpressionError
from kubelab.apiserver.strategies import causes

MAX_CONDITIONS = 64


def match_conditions(conditions: Sequence[pb.MatchCondition], field: str, *, params: bool = False) -> list[Cause]:
    """All complaints about match conditions. ``params`` says whether they may speak of parameters."""
    complaints = causes.at_most(field, len(conditions), MAX_CONDITIONS)
    compiler = Compiler(params=params)
    seen: set[str] = set()
    for number, condition in enumerate(conditions):
        here = f"{field}[{number}]"
        if not (text := condition.expression.strip()):
            complaints.append(causes.required(f"{here}.expression"))
        else:
            complaints += compiles(compiler, text, f"{here}.expression", BOOL)
        if not condition.name:
            complaints.append(causes.required(f"{here}.name"))
            continue
        complaints += causes.each(f"{here}.name", condition.name, names.qualified_name(condition.name))
        if condition.name in seen:
            complaints.append(causes.duplicate(f"{here}.name", condition.name))
        seen.add(condition.name)
    return complaints


def compiles(compiler: Compiler, text: str, field: str, *types: str) -> list[Cause]:
    """Complain of an expression that does not compile, or has another type than these."""
    try:
        compiler.check(text, *types)
    except ExpressionError as err:
        return [causes.invalid(field, text, str(err))]
    return []
