"""``kctl rollout``, ``scale`` and ``describe`` of Deployments, in kubectl's words."""

from __future__ import annotations

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.apps import deployments
from kubelab.apimachinery.scheme import DEPLOYMENTS
from tests.support import objects as make
from tests.unit.kctl.conftest import NOON, Shell

TEMPLATE = """\
Pod Template:
  Labels:\tapp=web
\tpod-template-hash=h1
  Annotations:\tkubernetes.io/change-cause: first
  Containers:
   main:
    Image:\thost:1
    Port:\t<none>
    Host Port:\t<none>
    Environment:\t<none>
    Mounts:\t<none>
  Volumes:\t<none>
  Node-Selectors:\t<none>
  Tolerations:\t<none>
"""


def replica_set(deployment: apps_pb2.Deployment, number: int, *, size: int = 0, cause: str = "") -> apps_pb2.ReplicaSet:
    labels = {"app": "web", "pod-template-hash": f"h{number}"}
    made = make.replica_set(f"web-h{number}", replicas=size, labels=labels)
    made.metadata.labels.update(labels)
    made.metadata.annotations[deployments.REVISION] = str(number)
    if cause:
        made.metadata.annotations[deployments.CHANGE_CAUSE] = cause
    made.metadata.ownerReferences.append(make.controlled_by(deployment))
    made.spec.template.spec.CopyFrom(deployment.spec.template.spec)
    made.spec.template.spec.containers[0].image = f"host:{number}"
    made.status.replicas = size
    return made


@pytest.fixture
def web(shell: Shell) -> apps_pb2.Deployment:
    """A Deployment that was rolled over once."""
    deployment = make.deployment(replicas=3, image="host:2")
    deployment.metadata.annotations[deployments.REVISION] = "2"
    deployment.metadata.creationTimestamp.seconds = int(NOON) - 60
    status = deployment.status
    status.observedGeneration = 1
    status.replicas = status.updatedReplicas = status.readyReplicas = status.availableReplicas = 3
    status.conditions.add(type="Available", status="True", reason="MinimumReplicasAvailable")
    shell.server.add(
        deployment,
        replica_set(deployment, 1, cause="first"),
        replica_set(deployment, 2, size=3),
        make.replica_set("stranger", labels={"app": "web"}),
        defaults=True,
    )
    return deployment


def stored(shell: Shell) -> apps_pb2.Deployment:
    deployment = shell.server.get(DEPLOYMENTS, "default/web")
    assert deployment is not None
    return deployment


def put(shell: Shell, **status: int) -> None:
    deployment = stored(shell)
    for name, value in status.items():
        setattr(deployment.status, name, value)
    shell.server.add(deployment)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, 'deployment "web" successfully rolled out\n'),
        ({"observedGeneration": 0}, "Waiting for deployment spec update to be observed...\n"),
        (
            {"updatedReplicas": 1},
            'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...\n',
        ),
        (
            {"replicas": 5},
            'Waiting for deployment "web" rollout to finish: 2 old replicas are pending termination...\n',
        ),
        (
            {"availableReplicas": 1},
            'Waiting for deployment "web" rollout to finish: 1 of 3 updated replicas are available...\n',
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
@pytest.mark.usefixtures("web")
def test_status(shell: Shell, status: dict[str, int], said: str) -> None:
    put(shell, **status)
    told = shell("rollout", "status", "deploy/web", "--watch=false")
    assert (told.stdout, told.stderr, told.code) == (said, "", 0)


@pytest.mark.usefixtures("web")
def test_status_that_fails(shell: Shell) -> None:
    assert shell("rollout", "status", "deploy", "web", "--revision=2").code == 0
    told = shell("rollout", "status", "deploy", "web", "--revision=1")
    assert told.stderr == "error: desired revision (1) is different from the running revision (2)\n"
    put(shell, updatedReplicas=1)
    told = shell("rollout", "status", "deploy", "web", "--timeout=10ms")
    assert told.stderr == "error: timed out waiting for the condition\n"
    assert told.code == 1
    deployment = stored(shell)
    deployment.status.conditions.add(type="Progressing", status="False", reason="ProgressDeadlineExceeded")
    shell.server.add(deployment)
    told = shell("rollout", "status", "deploy", "web")
    assert (told.stderr, told.code) == ('error: deployment "web" exceeded its progress deadline\n', 1)
    told = shell("rollout", "status", "rs/web-h1")
    assert told.stderr == "error: no status viewer has been implemented for ReplicaSet.apps\n"
    told = shell("rollout", "status", "deploy/nope")
    assert told.stderr == 'Error from server (NotFound): deployments.apps "nope" not found\n'
    assert shell("rollout", "status").stderr == "error: required resource not specified\n"


@pytest.mark.usefixtures("web")
def test_history(shell: Shell) -> None:
    told = shell("rollout", "history", "deployment", "web")
    assert told.stdout == "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         first\n2         <none>\n\n"
    told = shell("rollout", "history", "deployment/web", "--revision=1")
    assert told.stdout == f"deployment.apps/web with revision #1\n{TEMPLATE}\n"
    told = shell("rollout", "history", "deployment/web", "--revision=7")
    assert (told.stderr, told.code) == ("error: unable to find the specified revision\n", 1)
    assert shell("rollout", "history", "deploy/web", "--revision=1", "-o", "name").stdout == "replicaset.apps/web-h1\n"
    told = shell("rollout", "history", "deploy/web", "--revision=-1")
    assert told.stderr == "error: revision must be a positive integer: -1\n"


@pytest.mark.usefixtures("web")
def test_undo(shell: Shell) -> None:
    told = shell("rollout", "undo", "deploy/web", "--dry-run=client")
    assert told.stdout.startswith("deployment.apps/web Pod Template:\n  Labels:\tapp=web\n")
    assert shell("rollout", "undo", "deploy/web", "--dry-run=server").stdout == (
        "deployment.apps/web rolled back (server dry run)\n"
    )
    assert stored(shell).spec.template.spec.containers[0].image == "host:2"
    told = shell("rollout", "undo", "deploy/web")
    assert (told.stdout, told.stderr) == ("deployment.apps/web rolled back\n", "")
    back = stored(shell)
    assert back.spec.template.spec.containers[0].image == "host:1"
    assert dict(back.spec.template.metadata.labels) == {"app": "web"}
    assert dict(back.metadata.annotations) == {deployments.REVISION: "2", deployments.CHANGE_CAUSE: "first"}
    told = shell("rollout", "undo", "deploy/web", "--to-revision=1")
    assert told.stdout == "deployment.apps/web skipped rollback (current template already matches revision 1)\n"
    told = shell("rollout", "undo", "deploy/web", "--to-revision=9")
    assert (told.stderr, told.code) == ("error: unable to find specified revision 9 in history\n", 1)


@pytest.mark.usefixtures("web")
def test_pause_and_resume(shell: Shell) -> None:
    assert shell("rollout", "resume", "deploy/web").stderr == 'error: deployments.apps "web" is not paused\n'
    assert shell("rollout", "pause", "deployment", "web").stdout == "deployment.apps/web paused\n"
    assert stored(shell).spec.paused
    again = shell("rollout", "pause", "deployment", "web")
    assert (again.stderr, again.code) == ('error: deployments.apps "web" is already paused\n', 1)
    assert shell("rollout", "undo", "deploy/web").stderr == (
        "error: you cannot rollback a paused deployment; resume it first with "
        "'kctl rollout resume deployment/web' and try again\n"
    )
    assert shell("rollout", "restart", "deploy/web").stderr == (
        'error: deployments.apps "web" can\'t restart paused deployment (run rollout resume first)\n'
    )
    assert shell("rollout", "resume", "deploy/web").stdout == "deployment.apps/web resumed\n"
    assert not stored(shell).spec.paused
    told = shell("rollout", "pause", "rs/web-h1")
    assert told.stderr == 'error: replicasets.apps "web-h1" pausing is not supported\n'


@pytest.mark.usefixtures("web", "utc")
def test_restart(shell: Shell) -> None:
    assert shell("rollout", "restart", "deployment").stdout == "deployment.apps/web restarted\n"
    annotations = stored(shell).spec.template.metadata.annotations
    assert dict(annotations) == {"kubectl.kubernetes.io/restartedAt": "2024-05-01T12:00:00Z"}
    again = shell("rollout", "restart", "deployment/web")
    assert again.stderr == (
        "error: failed to create patch for web: if restart has already been triggered within the past second, please "
        "wait before attempting to trigger another\n"
    )
    none = shell("rollout", "restart", "deployment", "-l", "app=none")
    assert (none.stderr, none.code) == ("No resources found in default namespace.\n", 0)


@pytest.mark.usefixtures("web")
def test_scale(shell: Shell) -> None:
    assert shell("scale", "deploy/web", "--replicas=5").stdout == "deployment.apps/web scaled\n"
    assert stored(shell).spec.replicas == 5
    assert shell("scale", "rs", "web-h1", "--replicas=1").stdout == "replicaset.apps/web-h1 scaled\n"
    assert shell("scale", "deployments", "--all", "--replicas=2").stdout == "deployment.apps/web scaled\n"
    told = shell("scale", "deploy/web", "--replicas=4", "--current-replicas=9")
    assert told.stderr == "error: Expected replicas to be 9, was 2\n"


@pytest.mark.usefixtures("web", "utc")
def test_describe(shell: Shell) -> None:
    told = shell("describe", "deploy", "web")
    assert (
        told.stdout
        == """\
Name:                   web
Namespace:              default
CreationTimestamp:      Wed, 01 May 2024 11:59:00 +0000
Labels:                 <none>
Annotations:            deployment.kubernetes.io/revision: 2
Selector:               app=web
Replicas:               3 desired | 3 updated | 3 total | 3 available | 0 unavailable
StrategyType:           RollingUpdate
MinReadySeconds:        0
RollingUpdateStrategy:  25% max unavailable, 25% max surge
Pod Template:
  Labels:  app=web
  Containers:
   main:
    Image:         host:2
    Port:          <none>
    Host Port:     <none>
    Environment:   <none>
    Mounts:        <none>
  Volumes:         <none>
  Node-Selectors:  <none>
  Tolerations:     <none>
Conditions:
  Type           Status  Reason
  ----           ------  ------
  Available      True    MinimumReplicasAvailable
OldReplicaSets:  web-h1 (0/0 replicas created)
NewReplicaSet:   web-h2 (3/3 replicas created)
Events:          <none>
"""
    )
    told = shell("describe", "rs", "web-h2")
    assert told.stdout.startswith("""\
Name:           web-h2
Namespace:      default
Selector:       app=web,pod-template-hash=h2
Labels:         app=web
                pod-template-hash=h2
Annotations:    deployment.kubernetes.io/revision: 2
Controlled By:  Deployment/web
Replicas:       3 current / 3 desired
Pods Status:    0 Running / 0 Waiting / 0 Succeeded / 0 Failed
Pod Template:
  Labels:  app=web
           pod-template-hash=h2
""")


def test_create_deployment(shell: Shell) -> None:
    made = shell("create", "deploy", "hello", "--image=host:1", "--replicas=2", "--port=80", "--", "sleep", "9")
    assert (made.stdout, made.stderr) == ("deployment.apps/hello created\n", "")
    again = shell("create", "deployment", "hello", "--image=host:1")
    assert again.stderr == 'error: failed to create deployment: deployments.apps "hello" already exists\n'
    wrong = shell("create", "deployment", "x.y", "--image=a.b/c_d.e:1", "--dry-run=client", "-o", "jsonpath={..name}")
    assert wrong.stdout.startswith("x.y c-d-e-")
