"""Bindings: what the scheduler may say (upstream: ValidatePodBinding)."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata


def validate(binding: core_pb2.Binding) -> list[Cause]:
    """All complaints about a binding: it needs a node, and what it brings becomes part of the pod."""
    found: list[Cause] = []
    if binding.target.kind not in ("", "Node"):
        found.append(causes.unsupported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        found.append(causes.required("target.name"))
    else:
        found += causes.each("target.name", binding.target.name, names.dns_subdomain(binding.target.name))
    return found + metadata.annotation_values("metadata.annotations", binding.metadata.annotations)
