"""Jobs: a selector that the server makes, and what of a Job may change (upstream: ``pkg/registry/batch/job``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.batch.jobs import CONTROLLER_UID, JOB_NAME, LEGACY_CONTROLLER_UID, LEGACY_JOB_NAME
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.labels import SelectorError
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.resources.batch import jobspec
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies import labelselectors as selector_rules
from kubelab.apiserver.strategies.base import Strategy

_TEMPLATE = "spec.template"


class JobStrategy(Strategy[batch_pb2.Job]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True
    default_policy: ClassVar[str] = "Orphan"  # of batch/v1, as before there was a garbage collector

    def default(self, obj: batch_pb2.Job) -> None:
        if not obj.metadata.labels:
            obj.metadata.labels.update(obj.spec.template.metadata.labels)
        jobspec.default(obj.spec)

    def prepare_for_create(self, obj: batch_pb2.Job) -> None:
        super().prepare_for_create(obj)
        if obj.spec.manualSelector:
            return
        made = obj.spec.template.metadata.labels
        unlabelled = not obj.metadata.labels
        for key, value in _generated_labels(obj).items():
            if key not in made:  # what a user has set is refused below, where it is another's
                made[key] = value
        if CONTROLLER_UID not in obj.spec.selector.matchLabels:
            obj.spec.selector.matchLabels[CONTROLLER_UID] = obj.metadata.uid
        if unlabelled:
            obj.metadata.labels.update(made)

    def warnings(self, obj: batch_pb2.Job) -> list[str]:
        return jobspec.name_warnings(obj.metadata.name) + jobspec.warnings(obj.spec, "spec") + super().warnings(obj)

    def validate_content(self, obj: batch_pb2.Job) -> list[Cause]:
        complaints = _generated_selector(obj) + jobspec.validate(obj.spec, "spec")
        if not obj.spec.HasField("selector"):
            return [*complaints, causes.required("spec.selector")]
        complaints += selector_rules.validate(obj.spec.selector, "spec.selector")
        try:
            matches = labelselectors.as_selector(obj.spec.selector).matches(obj.spec.template.metadata.labels)
        except SelectorError:
            return complaints
        if not matches:
            labels = dict(obj.spec.template.metadata.labels)
            message = "`selector` does not match template `labels`"
            complaints.append(causes.invalid(f"{_TEMPLATE}.metadata.labels", labels, message))
        return complaints

    def validate_change(self, obj: batch_pb2.Job, old: batch_pb2.Job) -> list[Cause]:
        spec, before = obj.spec, old.spec
        complaints = _completions(spec, before)
        if spec.selector != before.selector:
            complaints.append(causes.immutable("spec.selector", selector_rules.shown(spec.selector)))
        if spec.template != _with_directives(old, obj):
            complaints.append(causes.immutable(_TEMPLATE, causes.Raw("core.PodTemplateSpec{…}")))
        if spec.completionMode != before.completionMode:
            complaints.append(causes.immutable("spec.completionMode", spec.completionMode))
        for name, kind in (("podFailurePolicy", "PodFailurePolicy"), ("successPolicy", "SuccessPolicy")):
            if _differs(spec, before, name):
                complaints.append(causes.immutable(f"spec.{name}", causes.Raw(f"batch.{kind}{{…}}")))
        for name in ("backoffLimitPerIndex", "managedBy"):
            if _differs(spec, before, name):
                complaints.append(causes.immutable(f"spec.{name}", _value(spec, name)))
        return complaints

    def validate_status_update(self, obj: batch_pb2.Job, old: batch_pb2.Job) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        for name in ("active", "succeeded", "failed", "ready", "terminating"):
            complaints += causes.non_negative(f"status.{name}", getattr(obj.status, name))
        return complaints

    def selectable_fields(self, obj: batch_pb2.Job) -> Mapping[str, str]:
        return {**super().selectable_fields(obj), "status.successful": str(obj.status.succeeded)}


def _differs(new: Any, old: Any, name: str) -> bool:
    return getattr(new, name) != getattr(old, name) or new.HasField(name) != old.HasField(name)


def _value(message: Any, name: str) -> object:
    return getattr(message, name) if message.HasField(name) else None


def _generated_labels(job: batch_pb2.Job) -> Mapping[str, str]:
    uid, name = job.metadata.uid, job.metadata.name
    return {CONTROLLER_UID: uid, JOB_NAME: name, LEGACY_CONTROLLER_UID: uid, LEGACY_JOB_NAME: name}


def _generated_selector(job: batch_pb2.Job) -> list[Cause]:
    """Complain of labels and of a selector that are not the generated ones, so that no two Jobs share a pod."""
    if job.spec.manualSelector or not job.spec.HasField("selector"):
        return []
    labels, expected = job.spec.template.metadata.labels, _generated_labels(job)
    complaints: list[Cause] = []
    for key, value in expected.items():
        field = f"{_TEMPLATE}.metadata.labels[{key}]"
        if key not in labels:
            complaints.append(causes.required(field, f"must be '{value}'"))
        elif labels[key] != value:
            complaints.append(causes.invalid(field, dict(labels), f"must be '{value}'"))
    try:
        generated = labelselectors.as_selector(job.spec.selector).matches(expected)
    except SelectorError:
        return complaints
    if not generated:
        shown = selector_rules.shown(job.spec.selector)
        complaints.append(causes.invalid("spec.selector", shown, "`selector` not auto-generated"))
    return complaints


def _completions(spec: batch_pb2.JobSpec, old: batch_pb2.JobSpec) -> list[Cause]:
    """An indexed Job may grow and shrink when all its indexes run at once; no other changes its completions."""
    if not _differs(spec, old, "completions"):
        return []
    value = _value(spec, "completions")
    if spec.completionMode != jobspec.INDEXED or value is None or not old.HasField("completions"):
        return [causes.immutable("spec.completions", value)]
    if spec.completions == spec.parallelism and old.completions == old.parallelism:
        return []
    message = "can only be modified in tandem with spec.parallelism"
    return [causes.invalid("spec.completions", value, message)]


def _with_directives(old: batch_pb2.Job, new: batch_pb2.Job) -> object:
    """The stored template, with what may change in it: where the pods of a suspended Job that never started may run."""
    if not old.spec.suspend or old.status.HasField("startTime"):
        return old.spec.template
    allowed = deep_copy(old.spec.template)
    pod, wanted = allowed.spec, new.spec.template.spec
    for name in ("nodeSelector", "tolerations", "affinity", "schedulingGates"):
        pod.ClearField(name)
    pod.nodeSelector.update(wanted.nodeSelector)
    pod.tolerations.extend(wanted.tolerations)
    pod.schedulingGates.extend(wanted.schedulingGates)
    if wanted.HasField("affinity"):
        pod.affinity.CopyFrom(wanted.affinity)
    for name in ("labels", "annotations"):
        getattr(allowed.metadata, name).clear()
        getattr(allowed.metadata, name).update(getattr(new.spec.template.metadata, name))
    return allowed
