"""What kctl shows of Jobs and the other workloads, in kubectl's layout."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.scheme import JOBS
from tests.unit.kctl.conftest import Shell

JOB = """
apiVersion: batch/v1
kind: Job
metadata:
  name: pi
  namespace: default
  uid: u-1
  labels: {batch.kubernetes.io/job-name: pi}
spec:
  parallelism: 2
  completions: 3
  completionMode: Indexed
  suspend: false
  backoffLimit: 6
  ttlSecondsAfterFinished: 100
  activeDeadlineSeconds: 600
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u-1}}
  template:
    metadata: {labels: {batch.kubernetes.io/controller-uid: u-1}}
    spec: {restartPolicy: Never, containers: [{name: pi, image: "perl:5", command: [perl, -e, "1"]}]}
status:
  startTime: "2024-05-01T11:50:00Z"
  completionTime: "2024-05-01T11:51:05Z"
  active: 0
  ready: 0
  succeeded: 3
  completedIndexes: 0-2
---
apiVersion: v1
kind: Event
metadata: {name: pi.1, namespace: default}
involvedObject: {kind: Job, name: pi, namespace: default, uid: u-1}
type: Normal
reason: Completed
message: Job completed
source: {component: job-controller}
firstTimestamp: "2024-05-01T11:51:00Z"
lastTimestamp: "2024-05-01T11:51:00Z"
count: 1
"""


@pytest.mark.usefixtures("utc")
def test_describe_job(shell: Shell) -> None:
    shell.add(JOB)
    described = shell("describe", "job", "pi")
    assert described.stderr == ""
    assert (
        described.stdout
        == """\
Name:                        pi
Namespace:                   default
Selector:                    batch.kubernetes.io/controller-uid=u-1
Labels:                      batch.kubernetes.io/job-name=pi
Annotations:                 <none>
Parallelism:                 2
Completions:                 3
Completion Mode:             Indexed
Suspend:                     false
Backoff Limit:               6
TTL Seconds After Finished:  100
Start Time:                  Wed, 01 May 2024 11:50:00 +0000
Completed At:                Wed, 01 May 2024 11:51:05 +0000
Duration:                    65s
Active Deadline Seconds:     600s
Pods Statuses:               0 Active (0 Ready) / 3 Succeeded / 0 Failed
Completed Indexes:           0-2
Pod Template:
  Labels:  batch.kubernetes.io/controller-uid=u-1
  Containers:
   pi:
    Image:      perl:5
    Port:       <none>
    Host Port:  <none>
    Command:
      perl
      -e
      1
    Environment:   <none>
    Mounts:        <none>
  Volumes:         <none>
  Node-Selectors:  <none>
  Tolerations:     <none>
Events:
  Type    Reason     Age   From            Message
  ----    ------     ----  ----            -------
  Normal  Completed  9m    job-controller  Job completed
"""
    )


def test_a_job_is_created_and_waited_for(shell: Shell) -> None:
    created = shell("create", "job", "pi", "--image=host", "--", "date", "-u")
    assert (created.stdout, created.stderr) == ("job.batch/pi created\n", "")
    job = shell.server.get(JOBS, "default/pi")
    assert job is not None
    assert [*job.spec.template.spec.containers[0].command] == ["date", "-u"]
    job.status.conditions.add(type="Complete", status="True")
    shell.server.add(job)
    assert shell("wait", "--for=condition=complete", "job/pi").stdout == "job.batch/pi condition met\n"
    again = shell("create", "job", "pi", "--image=host")
    assert again.stderr == 'error: failed to create job: jobs.batch "pi" already exists\n'


CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: hello, namespace: default, uid: c-1}
spec:
  schedule: "*/5 * * * *"
  concurrencyPolicy: Allow
  suspend: false
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 1
  jobTemplate:
    metadata: {labels: {app: hello}, annotations: {a: b}}
    spec:
      template:
        spec: {restartPolicy: OnFailure, containers: [{name: hello, image: busybox}]}
status: {lastScheduleTime: "2024-05-01T11:55:00Z", active: [{name: hello-1}, {name: hello-2}]}
"""


@pytest.mark.usefixtures("utc")
def test_describe_cron_job(shell: Shell) -> None:
    shell.add(CRON_JOB)
    described = shell("describe", "cj", "hello")
    assert described.stderr == ""
    assert (
        described.stdout
        == """\
Name:                          hello
Namespace:                     default
Labels:                        <none>
Annotations:                   <none>
Schedule:                      */5 * * * *
Concurrency Policy:            Allow
Suspend:                       False
Successful Job History Limit:  3
Failed Job History Limit:      1
Starting Deadline Seconds:     <unset>
Selector:                      <unset>
Parallelism:                   <unset>
Completions:                   <unset>
Pod Template:
  Labels:  <none>
  Containers:
   hello:
    Image:           busybox
    Port:            <none>
    Host Port:       <none>
    Environment:     <none>
    Mounts:          <none>
  Volumes:           <none>
  Node-Selectors:    <none>
  Tolerations:       <none>
Last Schedule Time:  Wed, 01 May 2024 11:55:00 +0000
Active Jobs:         hello-1, hello-2
Events:              <none>
"""
    )


def test_a_job_from_a_cron_job(shell: Shell) -> None:
    shell.add(CRON_JOB)
    assert shell("create", "job", "now", "--from=cronjob/hello").stdout == "job.batch/now created\n"
    job = shell.server.get(JOBS, "default/now")
    assert job is not None
    assert dict(job.metadata.annotations) == {"a": "b", "cronjob.kubernetes.io/instantiate": "manual"}
    assert job.metadata.labels["app"] == "hello"
    [owner] = job.metadata.ownerReferences
    assert (owner.kind, owner.name, owner.controller, owner.HasField("blockOwnerDeletion")) == (
        "CronJob",
        "hello",
        True,
        False,
    )
    assert shell("create", "job", "x", "--from=pod/hello").stderr == "error: from must be an existing cronjob\n"
    missing = shell("create", "job", "x", "--from=cronjob/nope")
    assert missing.stderr == 'Error from server (NotFound): cronjobs.batch "nope" not found\n'
