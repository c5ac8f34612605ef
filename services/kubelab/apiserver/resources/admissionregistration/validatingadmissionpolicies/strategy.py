"""ValidatingAdmissionPolicies (upstream: pkg/apis/admissionregistration/validation)."""

from __future__ import annotations

import re
from typing import ClassVar

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.cel.admission import BOOL, NULL, STRING, Compiler
from kubelab.apiserver.cel.expressions import RESERVED, ExpressionError
from kubelab.apiserver.resources.admissionregistration import expressions, matchresources
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
MAX_ANNOTATIONS = 20
MAX_ANNOTATION_EXPRESSION = 5 * 1024  # characters
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_ONE_OF_BOTH = "validations or auditAnnotations must contain at least one item"


class ValidatingAdmissionPolicyStrategy(Strategy[pb.ValidatingAdmissionPolicy]):
    """The expressions are compiled before a policy is stored, so its status holds with the write; upstream has a
    controller that writes it later."""

    has_generation: ClassVar[bool] = True

    def default(self, obj: pb.ValidatingAdmissionPolicy) -> None:
        if not obj.spec.HasField("failurePolicy"):
            obj.spec.failurePolicy = "Fail"
        if obj.spec.HasField("matchConstraints"):
            matchresources.default(obj.spec.matchConstraints)

    def prepare_for_create(self, obj: pb.ValidatingAdmissionPolicy) -> None:
        super().prepare_for_create(obj)
        obj.status.observedGeneration = obj.metadata.generation

    def prepare_for_update(self, obj: pb.ValidatingAdmissionPolicy, old: pb.ValidatingAdmissionPolicy) -> None:
        super().prepare_for_update(obj, old)
        if obj.metadata.generation != old.metadata.generation:
            obj.status.observedGeneration = obj.metadata.generation

    def validate_content(self, obj: pb.ValidatingAdmissionPolicy) -> list[Cause]:
        spec = obj.spec
        complaints = causes.one_of("spec.failurePolicy", spec.failurePolicy, ("Fail", "Ignore"))
        params = spec.HasField("paramKind")
        if params:
            complaints += _param_kind(spec.paramKind, "spec.paramKind")
        if not spec.HasField("matchConstraints"):
            complaints.append(causes.required("spec.matchConstraints"))
        else:
            complaints += matchresources.validate(spec.matchConstraints, "spec.matchConstraints")
            if not spec.matchConstraints.resourceRules:
                complaints.append(causes.required("spec.matchConstraints.resourceRules"))
        complaints += expressions.match_conditions(spec.matchConditions, "spec.matchConditions", params=params)
        compiler = Compiler(params=params)
        for number, variable in enumerate(spec.variables):
            complaints += _variable(compiler, variable, f"spec.variables[{number}]")
        if not spec.validations and not spec.auditAnnotations:
            required = [causes.required(f"spec.{field}", _ONE_OF_BOTH) for field in ("validations", "auditAnnotations")]
            return complaints + required
        for number, validation in enumerate(spec.validations):
            complaints += _validation(compiler, validation, f"spec.validations[{number}]")
        return complaints + _annotations(compiler, obj)


def _param_kind(kind: pb.ParamKind, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    group, slash, version = kind.apiVersion.rpartition("/")
    if not kind.apiVersion:
        complaints.append(causes.required(f"{here}.apiVersion"))
    elif "/" in group:
        why = f"unexpected GroupVersion string: {kind.apiVersion}"
        complaints.append(causes.invalid(f"{here}.apiVersion", kind.apiVersion, why))
    else:
        if slash and group:
            complaints += causes.each(f"{here}.apiVersion", group, names.dns_subdomain(group))
        if not version:
            complaints.append(causes.invalid(f"{here}.apiVersion", kind.apiVersion, "version must be specified"))
        else:
            complaints += causes.each(f"{here}.apiVersion", version, names.dns1035_label(version))
    if not kind.kind:
        complaints.append(causes.required(f"{here}.kind"))
    for problem in names.dns1035_label(kind.kind.lower()) if kind.kind else ():
        why = f"may have mixed case, but should otherwise match: {problem}"
        complaints.append(causes.invalid(f"{here}.kind", kind.kind, why))
    return complaints


def _variable(compiler: Compiler, variable: pb.Variable, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not variable.name.strip():
        complaints.append(causes.required(f"{here}.name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(variable.name) or variable.name in RESERVED:
        complaints.append(causes.invalid(f"{here}.name", variable.name, "name is not a valid CEL identifier"))
    if not variable.expression.strip():
        complaints.append(causes.required(f"{here}.expression", "expression is not specified"))
    elif not complaints:
        try:
            compiler.declare(variable.name, variable.expression)
        except ExpressionError as err:
            complaints.append(causes.invalid(f"{here}.expression", variable.expression, str(err)))
    return complaints


def _validation(compiler: Compiler, v: pb.Validation, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not v.expression.strip():
        complaints.append(causes.required(f"{here}.expression", "expression is not specified"))
    else:
        complaints += expressions.compiles(compiler, v.expression, f"{here}.expression", BOOL)
    if v.messageExpression and not v.messageExpression.strip():
        why = "must be non-empty if specified"
        complaints.append(causes.invalid(f"{here}.messageExpression", v.messageExpression, why))
    elif v.messageExpression:
        complaints += expressions.compiles(compiler, v.messageExpression, f"{here}.messageExpression", STRING)
    message = v.message.strip()
    if v.message and not message:
        complaints.append(causes.invalid(f"{here}.message", v.message, "message must be non-empty if specified"))
    elif "\n" in message or "\r" in message:
        complaints.append(causes.invalid(f"{here}.message", v.message, "message must not contain line breaks"))
    if v.HasField("reason") and v.reason not in REASONS:
        complaints.append(causes.unsupported(f"{here}.reason", v.reason, REASONS))
    return complaints


def _annotations(compiler: Compiler, obj: pb.ValidatingAdmissionPolicy) -> list[Cause]:
    field, given = "spec.auditAnnotations", obj.spec.auditAnnotations
    complaints: list[Cause] = []
    if len(given) > MAX_ANNOTATIONS:
        why = f"must not have more than {MAX_ANNOTATIONS} auditAnnotations"
        complaints.append(causes.invalid_whole(field, why))
    seen: set[str] = set()
    for number, annotation in enumerate(given):
        here = f"{field}[{number}]"
        key = f"{obj.metadata.name}/{annotation.key}"
        if not obj.metadata.name:
            why = "requires metadata.name be non-empty"
            complaints.append(causes.invalid(f"{here}.key", annotation.key, why))
        else:
            complaints += causes.each(f"{here}.key", key, names.qualified_name(key))
        text = annotation.valueExpression.strip()
        if not text:
            complaints.append(causes.required(f"{here}.valueExpression", "valueExpression is not specified"))
        elif len(text) > MAX_ANNOTATION_EXPRESSION:
            why = f"must not exceed {MAX_ANNOTATION_EXPRESSION} bytes in length"
            complaints.append(causes.required(f"{here}.valueExpression", why))
        else:
            complaints += expressions.compiles(compiler, text, f"{here}.valueExpression", STRING, NULL)
        if annotation.key in seen:
            complaints.append(causes.duplicate(f"{here}.key", annotation.key))
        seen.add(annotation.key)
    return complaints
