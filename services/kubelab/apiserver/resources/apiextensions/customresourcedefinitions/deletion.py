"""How a definition goes: after its objects, which the finalizer says."""

from __future__ import annotations

from kubelab.api.apiextensions.v1 import apiextensions_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apiserver.resources import deletion
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions import conditions
from kubelab.apiserver.resources.deletion import DeletionStep
from kubelab.apiserver.strategies.rules import Rules

_MARKED = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"


def decide(
    crd: apiextensions_pb2.CustomResourceDefinition, options: meta_pb2.DeleteOptions, rules: Rules, now: float
) -> DeletionStep:
    """Mark the definition, and let nothing remove it before the objects are gone."""
    if not crd.metadata.HasField("deletionTimestamp"):
        conditions.put(crd, conditions.TERMINATING, "True", "InstanceDeletionPending", _MARKED, now)
        if conditions.FINALIZER not in crd.metadata.finalizers:
            crd.metadata.finalizers.append(conditions.FINALIZER)
    return deletion.decide(crd, options, rules, now)
