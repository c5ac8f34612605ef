"""CronJobs: schedule, time zone and the template of the Jobs."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import GONE, NEGATIVE, Change, on_create, stored, table

MANIFEST = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: hello, namespace: default}
spec:
  schedule: "*/5 * * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: OnFailure, containers: [{name: hello, image: "busybox:1"}]}
"""
JOB = "spec.jobTemplate.spec"


@table(
    ({},),
    ({"spec.timeZone": "Asia/Seoul", "spec.concurrencyPolicy": "Forbid"},),
    ({"spec.schedule": ""}, "spec.schedule: Required value"),
    (
        {"spec.schedule": "* * * *"},
        'spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]',
    ),
    (
        {"spec.schedule": "TZ=Asia/Seoul * * * * *"},
        'spec.schedule: Invalid value: "TZ=Asia/Seoul * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone '
        "field instead",
    ),
    ({"spec.timeZone": "Mars/Base"}, 'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'),
    ({"spec.timeZone": "../UTC"}, 'spec.timeZone: Invalid value: "../UTC": unknown time zone ../UTC'),
    ({"spec.timeZone": ""}, 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
    (
        {"spec.timeZone": "local"},
        'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in '
        "https://www.iana.org/time-zones",
    ),
    (
        {"spec.concurrencyPolicy": "Sometimes"},
        'spec.concurrencyPolicy: Unsupported value: "Sometimes": supported values: "Allow", "Forbid", "Replace"',
    ),
    ({"spec.failedJobsHistoryLimit": -1}, f"spec.failedJobsHistoryLimit: Invalid value: -1: {NEGATIVE}"),
    ({"spec.startingDeadlineSeconds": -1}, f"spec.startingDeadlineSeconds: Invalid value: -1: {NEGATIVE}"),
    (
        {f"{JOB}.template.spec.restartPolicy": GONE},
        f'{JOB}.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    ({f"{JOB}.completions": -1}, f"{JOB}.completions: Invalid value: -1: {NEGATIVE}"),
    (
        {f"{JOB}.manualSelector": True},
        f'{JOB}.manualSelector: Unsupported value: true: supported values: "nil", "false"',
    ),
    ({"metadata.name": "a" * 53}, f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters'),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


def test_defaults() -> None:
    spec = stored(MANIFEST).spec
    assert (spec.concurrencyPolicy, spec.suspend) == ("Allow", False)
    assert (spec.successfulJobsHistoryLimit, spec.failedJobsHistoryLimit) == (3, 1)
    assert not spec.jobTemplate.spec.HasField("completions")  # the Job's own defaults come when it is made
    assert spec.jobTemplate.spec.template.spec.dnsPolicy == "ClusterFirst"
