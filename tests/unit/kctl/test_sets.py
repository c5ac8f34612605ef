"""``kctl rollout`` and ``describe`` of DaemonSets and StatefulSets, in kubectl's words."""

from __future__ import annotations

import re

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.apps import revisions
from kubelab.apimachinery.meta import new_controller_ref
from kubelab.apimachinery.scheme import DAEMON_SETS, STATEFUL_SETS
from tests.unit.kctl.conftest import NOON, Shell


def _fill(made: apps_pb2.DaemonSet | apps_pb2.StatefulSet, name: str) -> None:
    made.metadata.name, made.metadata.namespace, made.metadata.uid = name, "default", f"uid-of-{name}"
    made.metadata.creationTimestamp.seconds, made.metadata.generation = int(NOON) - 60, 1
    made.spec.selector.matchLabels["app"] = name
    made.spec.template.metadata.labels["app"] = name
    made.spec.template.spec.containers.add(name="main", image="host:2")
    made.status.observedGeneration = 1


def _revision(
    owner: apps_pb2.DaemonSet | apps_pb2.StatefulSet, number: int, cause: str = ""
) -> apps_pb2.ControllerRevision:
    kind = DAEMON_SETS if isinstance(owner, apps_pb2.DaemonSet) else STATEFUL_SETS
    template = type(owner.spec.template).FromString(owner.spec.template.SerializeToString())
    template.spec.containers[0].image = f"host:{number}"
    made = apps_pb2.ControllerRevision(revision=number)
    made.data.raw = revisions.data_of(template)
    made.metadata.name, made.metadata.namespace = f"{owner.metadata.name}-{number}", "default"
    made.metadata.labels["app"] = owner.metadata.name
    if cause:
        made.metadata.annotations["kubernetes.io/change-cause"] = cause
    made.metadata.ownerReferences.append(new_controller_ref(owner, kind))
    return made


@pytest.fixture
def agent(shell: Shell) -> apps_pb2.DaemonSet:
    """A DaemonSet that was rolled over once."""
    made = apps_pb2.DaemonSet()
    _fill(made, "agent")
    status = made.status
    status.desiredNumberScheduled = status.currentNumberScheduled = status.updatedNumberScheduled = 3
    status.numberAvailable = 3
    shell.server.add(made, defaults=True)
    stored = shell.server.get(DAEMON_SETS, "default/agent")
    assert stored is not None
    shell.server.add(_revision(stored, 1, "first"), _revision(stored, 2))
    return stored


@pytest.fixture
def db(shell: Shell) -> apps_pb2.StatefulSet:
    """A StatefulSet that was rolled over once."""
    made = apps_pb2.StatefulSet()
    _fill(made, "db")
    made.spec.replicas, made.spec.serviceName = 3, "db"
    status = made.status
    status.replicas = status.readyReplicas = status.updatedReplicas = status.currentReplicas = 3
    status.currentRevision = status.updateRevision = "db-2"
    shell.server.add(made, defaults=True)
    stored = shell.server.get(STATEFUL_SETS, "default/db")
    assert stored is not None
    shell.server.add(_revision(stored, 1, "first"), _revision(stored, 2))
    return stored


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({}, 'daemon set "agent" successfully rolled out'),
        (
            {"updatedNumberScheduled": 1},
            'Waiting for daemon set "agent" rollout to finish: 1 out of 3 new pods have been updated...',
        ),
        (
            {"numberAvailable": 2},
            'Waiting for daemon set "agent" rollout to finish: 2 of 3 updated pods are available...',
        ),
        ({"observedGeneration": 0}, "Waiting for daemon set spec update to be observed..."),
    ],
)
def test_status_of_a_daemon_set(shell: Shell, agent: apps_pb2.DaemonSet, counts: dict[str, int], told: str) -> None:
    for name, value in counts.items():
        setattr(agent.status, name, value)
    shell.server.add(agent)
    assert shell("rollout", "status", "ds/agent", "--watch=false").stdout == f"{told}\n"


@pytest.mark.parametrize(
    ("partition", "counts", "told"),
    [
        (0, {}, "partitioned roll out complete: 3 new pods have been updated..."),
        (0, {"readyReplicas": 1}, "Waiting for 2 pods to be ready..."),
        (
            1,
            {"updatedReplicas": 1},
            "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
        ),
        (None, {}, "statefulset rolling update complete 3 pods at revision db-2..."),
        (0, {"observedGeneration": 0}, "Waiting for statefulset spec update to be observed..."),
    ],
)
def test_status_of_a_stateful_set(
    shell: Shell, db: apps_pb2.StatefulSet, partition: int | None, counts: dict[str, int], told: str
) -> None:
    db.spec.updateStrategy.ClearField("rollingUpdate")
    if partition is not None:
        db.spec.updateStrategy.rollingUpdate.partition = partition
    for name, value in counts.items():
        setattr(db.status, name, value)
    shell.server.add(db)
    assert shell("rollout", "status", "statefulset", "db", "-w=false").stdout == f"{told}\n"


def test_there_is_no_status_of_what_waits_for_deletions(shell: Shell, agent: apps_pb2.DaemonSet) -> None:
    agent.spec.updateStrategy.type = "OnDelete"
    shell.server.add(agent)
    told = shell("rollout", "status", "ds/agent")
    assert told.stderr == "error: rollout status is only available for RollingUpdate strategy type\n"
    assert told.code == 1


@pytest.mark.parametrize("name", ["ds/agent", "sts/db"])
def test_history_undo_and_restart(shell: Shell, agent: apps_pb2.DaemonSet, db: apps_pb2.StatefulSet, name: str) -> None:
    noun = "daemonset.apps/agent" if name == "ds/agent" else "statefulset.apps/db"
    key = f"default/{noun.partition('/')[2]}"

    def images() -> list[str]:
        found = shell.server.get(DAEMON_SETS if name == "ds/agent" else STATEFUL_SETS, key)
        assert found is not None
        return [container.image for container in found.spec.template.spec.containers]

    told = shell("rollout", "history", name)
    assert (told.stdout, told.stderr) == (
        f"{noun} \nREVISION  CHANGE-CAUSE\n1         first\n2         <none>\n\n",
        "",
    )
    assert re.search(r"Image:\s+host:1\n", shell("rollout", "history", name, "--revision=1").stdout)
    assert shell("rollout", "undo", name, "--to-revision=9").stderr == (
        "error: unable to find specified revision 9 in history\n"
    )
    same = shell("rollout", "undo", name, "--to-revision=2").stdout
    assert same == f"{noun} skipped rollback (current template already matches revision 2)\n"
    assert images() == ["host:2"]
    assert shell("rollout", "undo", name).stdout == f"{noun} rolled back\n"
    assert images() == ["host:1"]
    assert shell("rollout", "restart", name).stdout == f"{noun} restarted\n"
    assert shell("rollout", "pause", name).code == 1


def test_a_revision_without_a_template(shell: Shell, agent: apps_pb2.DaemonSet) -> None:
    broken = _revision(agent, 3)
    broken.data.raw = b'{"spec":{"a":1}}'
    shell.server.add(broken)
    told = shell("rollout", "history", "ds/agent")
    assert (told.code, told.stderr) == (1, "error: controllerrevision agent-3 holds no template\n")


@pytest.mark.usefixtures("utc")
def test_describe(shell: Shell, agent: apps_pb2.DaemonSet, db: apps_pb2.StatefulSet) -> None:
    told = shell("describe", "ds", "agent").stdout
    assert told.startswith(
        """\
Name:           agent
Namespace:      default
Selector:       app=agent
Node-Selector:  <none>
Labels:         <none>
Annotations:    <none>
Desired Number of Nodes Scheduled: 3
Current Number of Nodes Scheduled: 3
Number of Nodes Scheduled with Up-to-date Pods: 3
Number of Nodes Scheduled with Available Pods: 3
Number of Nodes Misscheduled: 0
Pods Status:  0 Running / 0 Waiting / 0 Succeeded / 0 Failed
Pod Template:
  Labels:  app=agent
"""
    )
    assert agent.metadata.name == "agent"
    told = shell("describe", "sts", "db").stdout
    assert told.startswith(
        """\
Name:               db
Namespace:          default
CreationTimestamp:  Wed, 01 May 2024 11:59:00 +0000
Selector:           app=db
Labels:             <none>
Annotations:        <none>
Replicas:           3 desired | 3 total
Update Strategy:    RollingUpdate
  Partition:        0
Pods Status:        0 Running / 0 Waiting / 0 Succeeded / 0 Failed
Pod Template:
"""
    )
    assert "Volume Claims:" in told
    assert db.metadata.name == "db"
