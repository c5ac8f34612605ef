"""The scale subresource: how many there shall be (upstream: autoscaling ValidateScale)."""

from __future__ import annotations

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata


def validate(scale: autoscaling_pb2.Scale) -> list[Cause]:
    """All complaints about a scale."""
    found = metadata.validate(scale.metadata, namespaced=True, check_name=names.dns_subdomain)
    return [*found, *causes.non_negative("spec.replicas", scale.spec.replicas)]
