"""CronJobs: a schedule, and the template of its Jobs (upstream: ``pkg/apis/batch/validation``)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.batch import schedules
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.resources.batch import jobspec
from kubelab.apiserver.strategies import causes, podtemplate
from kubelab.apiserver.strategies import labelselectors as selector_rules
from kubelab.apiserver.strategies.base import Strategy

CONCURRENCY_POLICIES = ("Allow", "Forbid", "Replace")
MAX_NAME = 52  # its Jobs' names have eleven characters more
_JOB = "spec.jobTemplate.spec"


class CronJobStrategy(Strategy[batch_pb2.CronJob]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def default(self, obj: batch_pb2.CronJob) -> None:
        spec = obj.spec
        spec.concurrencyPolicy = spec.concurrencyPolicy or "Allow"
        if not spec.HasField("suspend"):
            spec.suspend = False
        if not spec.HasField("successfulJobsHistoryLimit"):
            spec.successfulJobsHistoryLimit = 3
        if not spec.HasField("failedJobsHistoryLimit"):
            spec.failedJobsHistoryLimit = 1
        podtemplate.default(spec.jobTemplate.spec.template)

    def warnings(self, obj: batch_pb2.CronJob) -> list[str]:
        told = jobspec.name_warnings(obj.metadata.name) + jobspec.warnings(obj.spec.jobTemplate.spec, _JOB)
        return told + super().warnings(obj)

    def validate_content(self, obj: batch_pb2.CronJob) -> list[Cause]:
        spec = obj.spec
        complaints: list[Cause] = []
        if len(obj.metadata.name) > MAX_NAME:
            message = names.too_long(MAX_NAME)
            complaints.append(causes.invalid("metadata.name", obj.metadata.name, message))
        if not spec.schedule:
            complaints.append(causes.required("spec.schedule"))
        else:
            complaints += _schedule(spec.schedule)
        for name in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            complaints += causes.non_negative(f"spec.{name}", getattr(spec, name))
        if spec.HasField("timeZone"):
            complaints += _time_zone(spec.timeZone)
        complaints += causes.one_of("spec.concurrencyPolicy", spec.concurrencyPolicy, CONCURRENCY_POLICIES)
        return complaints + _template(spec.jobTemplate.spec)


def _schedule(text: str) -> list[Cause]:
    complaints: list[Cause] = []
    try:
        schedules.parse(text)
    except ValueError as err:
        complaints.append(causes.invalid("spec.schedule", text, str(err)))
    if "TZ" in text:
        message = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        complaints.append(causes.invalid("spec.schedule", text, message))
    return complaints


def _time_zone(name: str) -> list[Cause]:
    field = "spec.timeZone"
    if not name:
        return [causes.invalid(field, name, "timeZone must be nil or non-empty string")]
    if name.lower() == "local":
        message = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [causes.invalid(field, name, message)]
    try:
        schedules.time_zone(name)
    except ValueError as err:
        return [causes.invalid(field, name, str(err))]
    return []


def _template(spec: batch_pb2.JobSpec) -> list[Cause]:
    whole = deep_copy(spec)
    jobspec.default(whole)
    complaints = jobspec.validate(whole, _JOB)
    if spec.HasField("selector"):
        message = "`selector` will be auto-generated"
        complaints.append(causes.invalid(f"{_JOB}.selector", selector_rules.shown(spec.selector), message))
    if spec.manualSelector:
        complaints.append(causes.unsupported(f"{_JOB}.manualSelector", spec.manualSelector, ("nil", "false")))
    return complaints
