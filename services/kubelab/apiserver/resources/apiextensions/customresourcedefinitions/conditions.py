"""The conditions of a definition."""

from __future__ import annotations

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb

ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def find(crd: pb.CustomResourceDefinition, kind: str) -> pb.CustomResourceDefinitionCondition | None:
    return next((c for c in crd.status.conditions if c.type == kind), None)


def is_true(crd: pb.CustomResourceDefinition, kind: str) -> bool:
    found = find(crd, kind)
    return found is not None and found.status == "True"


def put(crd: pb.CustomResourceDefinition, kind: str, status: str, reason: str, message: str, now: float) -> None:
    """Set a condition; its time changes with its status."""
    one = find(crd, kind)
    if one is None:
        one = crd.status.conditions.add(type=kind)
    if one.status != status:
        one.lastTransitionTime.Clear()
        one.lastTransitionTime.seconds = int(now)
    one.status, one.reason, one.message = status, reason, message
