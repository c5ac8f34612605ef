"""The cells of a policy's row, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apiserver.printers.cells import age


def row(obj: pb.ValidatingAdmissionPolicy, now: float) -> list[str]:
    spec = obj.spec
    kind = f"{spec.paramKind.apiVersion}/{spec.paramKind.kind}" if spec.HasField("paramKind") else "<unset>"
    return [obj.metadata.name, str(len(spec.validations)), kind, age(obj.metadata.creationTimestamp, now)]
