"""The cells of a row of webhook configurations, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apiserver.printers.cells import age


def row(obj: pb.MutatingWebhookConfiguration | pb.ValidatingWebhookConfiguration, now: float) -> list[str]:
    return [obj.metadata.name, str(len(obj.webhooks)), age(obj.metadata.creationTimestamp, now)]
