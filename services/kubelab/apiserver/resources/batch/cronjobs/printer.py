"""The cells of a row of cron jobs, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apiserver.printers.cells import NONE, age


def row(cron_job: batch_pb2.CronJob, now: float) -> list[str]:
    spec, status = cron_job.spec, cron_job.status
    containers = spec.jobTemplate.spec.template.spec.containers
    return [
        cron_job.metadata.name,
        spec.schedule,
        spec.timeZone if spec.HasField("timeZone") else NONE,
        str(spec.suspend) if spec.HasField("suspend") else "<unset>",
        str(len(status.active)),
        age(status.lastScheduleTime, now) if status.HasField("lastScheduleTime") else NONE,
        age(cron_job.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
        labelselectors.text(spec.jobTemplate.spec.selector),
    ]
