"""Which options of lists and watches go together (apimachinery's ``meta/internalversion/validation``).

https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list has what they mean.
"""

from __future__ import annotations

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
_MATCH = "resourceVersionMatch"


def check_list(options: meta_pb2.ListOptions) -> None:
    """Refuse what means nothing for a list; Invalid."""
    match, version = options.resourceVersionMatch, options.resourceVersion
    complaints: list[Cause] = []
    if match:
        if not version:
            complaints.append(
                causes.forbidden(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
            )
        if getattr(options, "continue"):
            complaints.append(causes.forbidden(_MATCH, "resourceVersionMatch is forbidden for continue"))
        if match not in (EXACT, NOT_OLDER):
            complaints.append(causes.unsupported(_MATCH, match, (EXACT, NOT_OLDER, "")))
        if match == EXACT and version == "0":
            message = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            complaints.append(causes.forbidden(_MATCH, message))
    if options.HasField("sendInitialEvents"):
        complaints.append(causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    _refuse(complaints)


def check_watch(options: meta_pb2.ListOptions) -> None:
    """Refuse what means nothing for a watch; Invalid."""
    match, initial = options.resourceVersionMatch, options.HasField("sendInitialEvents")
    complaints: list[Cause] = []
    if initial and match != NOT_OLDER:
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        complaints.append(causes.forbidden(_MATCH, message))
    if match:
        if not initial:
            message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            complaints.append(causes.forbidden(_MATCH, message))
        if match != NOT_OLDER:
            complaints.append(causes.unsupported(_MATCH, match, (NOT_OLDER,)))
        if getattr(options, "continue"):
            complaints.append(causes.forbidden(_MATCH, "resourceVersionMatch is forbidden for continue"))
    _refuse(complaints)


def _refuse(complaints: list[Cause]) -> None:
    if complaints:
        raise errors.invalid("ListOptions", "", complaints, "meta.k8s.io")
