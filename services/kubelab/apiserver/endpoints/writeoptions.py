"""The options of writes: checked, and what they mean (apimachinery's ``meta/v1/validation``)."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

ALL = "All"
MAX_MANAGER = 128
VALIDATIONS = ("Ignore", "Warn", "Strict")

Options = meta_pb2.CreateOptions | meta_pb2.UpdateOptions | meta_pb2.PatchOptions


def check(options: Options, *, apply: bool = False) -> bool:
    """Refuse options that mean nothing; say whether it is a dry run. ``apply`` is for a patch of that type. Invalid."""
    complaints = check_dry_run(options.dryRun)
    if options.fieldManager or apply:
        complaints += _manager(options.fieldManager, required=apply)
    if options.fieldValidation and options.fieldValidation not in VALIDATIONS:
        complaints.append(causes.unsupported("fieldValidation", options.fieldValidation, ("", *VALIDATIONS)))
    if isinstance(options, meta_pb2.PatchOptions) and options.HasField("force") and not apply:
        complaints.append(causes.forbidden("force", "may not be specified for non-apply patch"))
    if complaints:
        raise errors.invalid(options.DESCRIPTOR.name, "", complaints, "meta.k8s.io")
    return bool(options.dryRun)


def check_dry_run(values: Sequence[str]) -> list[Cause]:
    """Complain of all but ``All``."""
    if all(value == ALL for value in values):
        return []
    return [causes.unsupported("dryRun", list(values), (ALL,))]


def _manager(name: str, *, required: bool) -> list[Cause]:
    if required and not name:
        return [causes.required("fieldManager", "is required for apply patch")]
    complaints: list[Cause] = []
    if len(name.encode()) > MAX_MANAGER:
        complaints.append(causes.too_long("fieldManager", MAX_MANAGER))
    if not name.isprintable():
        complaints.append(causes.invalid("fieldManager", name, "should only contain printable characters"))
    return complaints
