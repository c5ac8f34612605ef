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
