"""ValidatingAdmissionPolicyBindings (upstream: pkg/apis/admissionregistration/validation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.admissionregistration import matchresources
from kubelab.apiserver.strategies import causes, labelselectors
from kubelab.apiserver.strategies.base import Strategy

ACTIONS = ("Audit", "Deny", "Warn")
_EXCLUSIVE = "name and selector are mutually exclusive"
_NOT_BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)


class ValidatingAdmissionPolicyBindingStrategy(Strategy[pb.ValidatingAdmissionPolicyBinding]):
    has_generation: ClassVar[bool] = True

    def default(self, obj: pb.ValidatingAdmissionPolicyBinding) -> None:
        if obj.spec.HasField("matchResources"):
            matchresources.default(obj.spec.matchResources)

    def validate_content(self, obj: pb.ValidatingAdmissionPolicyBinding) -> list[Cause]:
        spec = obj.spec
        if not spec.policyName:
            complaints = [causes.required("spec.policyName")]
        else:
            complaints = causes.each("spec.policyName", spec.policyName, names.dns_subdomain(spec.policyName))
        if spec.HasField("paramRef"):
            complaints += _param_ref(spec.paramRef, "spec.paramRef")
        if spec.HasField("matchResources"):
            complaints += matchresources.validate(spec.matchResources, "spec.matchResouces")  # upstream's spelling
        return complaints + _actions(list(spec.validationActions), "spec.validationActions")


def _param_ref(ref: pb.ParamRef, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    has_selector = ref.HasField("selector")
    if ref.name:
        complaints += causes.each(f"{here}.name", ref.name, names.path_segment(ref.name))
        if has_selector:
            complaints.append(causes.forbidden(f"{here}.name", _EXCLUSIVE))
    if has_selector:
        complaints += labelselectors.validate(ref.selector, f"{here}.selector")
        if ref.name:
            complaints.append(causes.forbidden(f"{here}.selector", _EXCLUSIVE))
    if not ref.name and not has_selector:
        complaints.append(causes.required(here, "one of name or selector must be specified"))
    return complaints + causes.one_of(f"{here}.parameterNotFoundAction", ref.parameterNotFoundAction, ("Deny", "Allow"))


def _actions(actions: Sequence[str], field: str) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for number, action in enumerate(actions):
        if action not in ACTIONS:
            complaints.append(causes.unsupported(f"{field}[{number}]", action, ACTIONS))
        if action in seen:
            complaints.append(causes.duplicate(f"{field}[{number}]", action))
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        complaints.append(causes.invalid(field, list(actions), _NOT_BOTH))
    if not actions:
        complaints.append(causes.required(field, "at least one validation action is required"))
    return complaints
