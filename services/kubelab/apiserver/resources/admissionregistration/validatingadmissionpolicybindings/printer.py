"""The cells of a binding's row, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apiserver.printers.cells import age
from kubelab.apiserver.strategies import labelselectors


def row(obj: pb.ValidatingAdmissionPolicyBinding, now: float) -> list[str]:
    return [obj.metadata.name, obj.spec.policyName, _params(obj.spec), age(obj.metadata.creationTimestamp, now)]


def _params(spec: pb.ValidatingAdmissionPolicyBindingSpec) -> str:
    if not spec.HasField("paramRef"):
        return "<unset>"
    ref = spec.paramRef
    if ref.name:
        return f"{ref.namespace or '*'}/{ref.name}"
    return f"&{labelselectors.shown(ref.selector).removeprefix('v1.')}" if ref.HasField("selector") else "<unset>"
