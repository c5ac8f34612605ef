"""Jobs, CronJobs, DaemonSets and StatefulSets on a whole cluster, as a person types them."""

from __future__ import annotations

import re

import pytest

from tests.e2e.terminal import Terminal, eventually

POD = "image: kubelab/sh:1\n        imagePullPolicy: IfNotPresent"
INDEXED_JOB = f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: squares}}
spec:
  completions: 3
  parallelism: 3
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        {POD}
        command: [sh, -c, 'echo $(hostname) $((JOB_COMPLETION_INDEX * JOB_COMPLETION_INDEX))']
"""
DAEMON_SET = f"""
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        {POD}
"""
STATEFUL_SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  replicas: 2
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        {POD}
"""


@pytest.fixture(scope="module", autouse=True)
def image(terminal: Terminal) -> None:
    (terminal.folder / "Dockerfile").write_text('FROM host\nCMD ["sleep", "100000"]\n')
    terminal.type("kubelab image build -t kubelab/sh:1 .")


def test_a_job_runs_to_its_end(terminal: Terminal) -> None:
    assert terminal.type("kctl create job hello --image=kubelab/sh:1 -- echo hello").lines == [
        "job.batch/hello created"
    ]
    waited = terminal.type("kctl wait --for=condition=complete job/hello --timeout=60s")
    assert waited.lines == ["job.batch/hello condition met"]
    assert terminal.type("kctl get jobs").rows[1][:3] == ["hello", "Complete", "1/1"]
    assert terminal.type("kctl logs -l job-name=hello").lines == ["hello"]
    assert "Normal  Completed" in terminal.type("kctl describe job hello").stdout
    terminal.type("kctl create -f -", stdin=INDEXED_JOB)
    terminal.type("kctl wait --for=condition=complete job/squares --timeout=60s")
    assert re.search(r"^Completed Indexes: +0-2$", terminal.type("kctl describe job squares").stdout, re.MULTILINE)
    pods = terminal.type("kctl get pods -l job-name=squares -o name").lines
    assert sorted(terminal.type(f"kctl logs {pod}").stdout for pod in pods) == [
        "squares-0 0\n",
        "squares-1 1\n",
        "squares-2 4\n",
    ]
    terminal.type("kctl delete job hello squares")
    eventually(lambda: not terminal.type("kctl get pods -o name").stdout, what="no pods of deleted jobs")


def test_a_job_of_a_cron_job(terminal: Terminal) -> None:
    terminal.type("kctl create cronjob tick --image=kubelab/sh:1 --schedule='*/1 * * * *' -- echo tick")
    assert terminal.type("kctl get cj").rows[1][:3] == ["tick", "*/1 * * * *", "<none>"]
    assert terminal.type("kctl create job now --from=cronjob/tick").lines == ["job.batch/now created"]
    terminal.type("kctl wait --for=condition=complete job/now --timeout=60s")
    scheduled = eventually(
        lambda: re.findall(r"job.batch/tick-\d+", terminal.type("kctl get jobs -o name").stdout), within=90
    )
    terminal.type(f"kctl wait --for=condition=complete {scheduled[0]} --timeout=60s")
    terminal.type("kctl delete cronjob tick")
    eventually(lambda: not terminal.type("kctl get jobs -o name").stdout, what="no jobs of a deleted cron job")


def test_a_daemon_set_has_a_pod_on_every_node(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=DAEMON_SET)
    done = terminal.type("kctl rollout status ds/agent --timeout=60s")
    assert done.lines[-1] == 'daemon set "agent" successfully rolled out'
    assert terminal.type("kctl get ds").rows[1][:7] == ["agent", "3", "3", "3", "3", "3", "<none>"]
    nodes = terminal.type("kctl get pods -l app=agent -o jsonpath='{.items[*].spec.nodeName}'").stdout.split()
    assert sorted(nodes) == ["cp-1", "node-1", "node-2"]
    terminal.type("kctl rollout restart ds/agent")
    terminal.type("kctl rollout status ds/agent --timeout=90s", deadline=120)
    assert len(terminal.type("kctl get controllerrevisions -o name").lines) == 2
    terminal.type("kctl delete ds agent")
    eventually(lambda: not terminal.type("kctl get pods,controllerrevisions -o name").stdout, what="all of it gone")


def test_a_stateful_set_keeps_its_names(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=STATEFUL_SET)
    terminal.type("kctl rollout status sts/db --timeout=60s")
    assert terminal.type("kctl get pods -l app=db -o name").lines == ["pod/db-0", "pod/db-1"]
    assert terminal.type("kctl get sts").rows[1][:2] == ["db", "2/2"]
    terminal.type("kctl delete pod db-0")
    eventually(lambda: terminal.type("kctl get sts").rows[1][1] == "2/2")
    terminal.type("kctl scale sts db --replicas=1 --timeout=60s")
    eventually(lambda: terminal.type("kctl get pods -l app=db -o name").lines == ["pod/db-0"])
    terminal.type("kctl delete sts db")
    eventually(lambda: not terminal.type("kctl get pods,controllerrevisions -o name").stdout, what="all of it gone")
