"""``kctl set …`` on the server; what it does with files alone is in golden/kubectl/set.txt."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from tests.unit.kctl.conftest import Shell

RC = """\
apiVersion: v1
kind: ReplicationController
metadata: {{name: {name}, labels: {{app: web}}}}
spec:
  replicas: 1
  selector: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
      - {{name: node, image: "node:1"}}
      - {{name: side, image: "side:1", env: [{{name: A, value: "1"}}]}}
"""
OBJECTS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: red, the-size: "4"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {token: c2VjcmV0}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: old}, ports: [{port: 80}]}
"""


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.stdin = "---\n".join([RC.format(name="web"), RC.format(name="db"), OBJECTS]).encode()
    assert shell("create", "-f", "-").code == 0
    shell.server.calls.clear()
    return shell


def containers(shell: Shell, name: str = "web") -> dict[str, core_pb2.Container]:
    rc = shell.server.get(scheme.REPLICATION_CONTROLLERS, f"default/{name}")
    assert rc is not None
    return {container.name: container for container in rc.spec.template.spec.containers}


def test_image(shell: Shell) -> None:
    assert shell("set", "image", "rc/web", "node=node:2").stdout == "replicationcontroller/web image updated\n"
    assert containers(shell)["node"].image == "node:2"
    assert shell("set", "image", "rc", "--all", "*=all:1", "-o", "name").stdout == (
        "replicationcontroller/db\nreplicationcontroller/web\n"
    )
    assert {c.image for c in containers(shell, "db").values()} == {"all:1"}
    unchanged = shell("set", "image", "rc", "-l", "app=web", "side=all:1")
    assert (unchanged.code, unchanged.stdout, unchanged.stderr) == (0, "", "")
    dry = shell("set", "image", "rc", "web", "node=x", "--dry-run=client")
    assert dry.stdout == "replicationcontroller/web image updated (dry run)\n"
    assert containers(shell)["node"].image == "all:1"


def test_nothing_is_changed_when_an_object_is_missing(shell: Shell) -> None:
    refused = shell("set", "image", "rc/web", "rc/nope", "node=node:2")
    told = 'Error from server (NotFound): replicationcontrollers "nope" not found\n'
    assert (refused.code, refused.stdout, refused.stderr) == (1, "", told)
    assert containers(shell)["node"].image == "node:1"


def test_what_the_server_refuses(shell: Shell) -> None:
    shell.server.fail(errors.conflict("replicationcontrollers", "db", "changed"), verb="update")
    shell.server.fail(errors.conflict("replicationcontrollers", "db", "changed"), verb="patch")
    refused = shell("set", "image", "rc", "db", "web", "node=node:2")
    assert (refused.code, refused.stdout) == (1, "replicationcontroller/web image updated\n")
    assert refused.stderr.startswith("error: failed to patch image update to pod template: Operation cannot be")


def test_the_command_line_is_recorded(shell: Shell) -> None:
    assert shell("set", "image", "rc/web", "node=node:2", "--record").code == 0
    rc = shell.server.get(scheme.REPLICATION_CONTROLLERS, "default/web")
    assert rc is not None
    cause = rc.metadata.annotations["kubernetes.io/change-cause"]
    assert cause == "kctl set image rc/web node=node:2 --record=true"


def test_env(shell: Shell) -> None:
    assert shell("set", "env", "rc/web", "B=2", "A-").stdout == "replicationcontroller/web env updated\n"
    assert [(v.name, v.value) for v in containers(shell)["side"].env] == [("B", "2")]
    shell.stdin = b"X=1\n# nothing\nY=2 # two\nnope\n"
    assert shell("set", "env", "rc/web", "-e", "-", "-c", "node", "--prefix=P_").code == 0
    assert [(v.name, v.value) for v in containers(shell)["node"].env] == [("B", "2"), ("P_X", "1"), ("P_Y", "2 ")]


def test_env_from_a_config_map_and_a_secret(shell: Shell) -> None:
    assert shell("set", "env", "rc/web", "--from=cm/settings", "--keys=the-size", "-c", "side").code == 0
    assert shell("set", "env", "rc/web", "--from=secret/keys", "--prefix=MY_", "-c", "side").code == 0
    listed = shell("set", "env", "rc/web", "--list", "-c", "side").stdout
    assert listed == (
        "# ReplicationController web, container side\nA=1\n"
        "# THE_SIZE from configmap settings, key the-size\n# MY_TOKEN from secret keys, key token\n"
    )
    resolved = shell("set", "env", "rc/web", "--list", "--resolve", "-c", "side").stdout
    assert resolved == "# ReplicationController web, container side\nA=1\nTHE_SIZE=4\nMY_TOKEN=secret\n"
    shell.server.remove(scheme.SECRETS, "default/keys")
    broken = shell("set", "env", "rc/web", "--list", "--resolve", "-c", "side")
    assert broken.code == 1
    assert broken.stderr == (
        'error retrieving reference for MY_TOKEN: secrets "keys" not found\n'
        "error: failed to retrieve valueFrom references\n"
    )
    refused = shell("set", "env", "rc/web", "--from=svc/web")
    assert refused.stderr == "error: unsupported resource specified in --from\n"


def test_resources(shell: Shell) -> None:
    done = shell("set", "resources", "rc/web", "-c", "node", "--limits=cpu=0.2,memory=64Mi", "--requests=cpu=100m")
    assert done.stdout == "replicationcontroller/web resource requirements updated\n"
    resources = containers(shell)["node"].resources
    assert {name: q.string for name, q in resources.limits.items()} == {"cpu": "200m", "memory": "64Mi"}
    assert not containers(shell)["side"].resources.limits


def test_selector_and_service_account(shell: Shell) -> None:
    assert shell("set", "selector", "svc", "web", "app=new,tier=front").stdout == "service/web selector updated\n"
    service = shell.server.get(scheme.SERVICES, "default/web")
    assert service is not None
    assert dict(service.spec.selector) == {"app": "new", "tier": "front"}
    stale = shell("set", "selector", "svc", "web", "app=a", "--resource-version=1")
    assert stale.stderr.startswith("Error from server (Conflict): ")
    assert shell("set", "sa", "rc", "web", "robot").stdout == "replicationcontroller/web serviceaccount updated\n"
    rc = shell.server.get(scheme.REPLICATION_CONTROLLERS, "default/web")
    assert rc is not None
    assert rc.spec.template.spec.serviceAccountName == "robot"
