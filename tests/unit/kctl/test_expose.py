"""``kctl expose`` on the server: the service that it makes of each kind."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kubelab.apimachinery import scheme
from tests.unit.kctl.conftest import Shell

OBJECTS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, tier: front}}
spec: {containers: [{name: a, image: b, ports: [{containerPort: 8080}, {containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {containers: [{name: a, image: b, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: db, labels: {kind: store}}
spec:
  selector: {app: db}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: a, image: b}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: front}
spec:
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec: {containers: [{name: a, image: b, ports: [{containerPort: 9000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: old}
spec: {selector: {app: old}, ports: [{port: 90}]}
"""


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.stdin = OBJECTS.encode()
    created = shell("create", "-f", "-")
    assert created.code == 0, created.stderr
    return shell


def made(shell: Shell, *line: str) -> dict[str, Any]:
    printed = shell("expose", *line, "--dry-run=client", "-o", "yaml")
    assert (printed.code, printed.stderr) == (0, "")
    return yaml.safe_load(printed.stdout)


def test_a_pod_with_all_its_ports(shell: Shell) -> None:
    printed = shell("expose", "pod", "web", "--dry-run=client", "-o", "yaml").stdout
    assert printed == (
        "apiVersion: v1\nkind: Service\nmetadata:\n  creationTimestamp: null\n  labels:\n    app: web\n"
        "    tier: front\n  name: web\nspec:\n  ports:\n  - name: port-1\n"
        "    port: 8080\n    protocol: TCP\n    targetPort: 8080\n"
        "  - name: port-2\n    port: 53\n    protocol: UDP\n    targetPort: 53\n  selector:\n    app: web\n"
        "    tier: front\nstatus:\n  loadBalancer: {}\n"
    )


def test_each_kind_has_its_selector(shell: Shell) -> None:
    service = made(shell, "rc", "db", "--port=80", "--target-port=http", "--name=store")
    assert service["metadata"] == {"creationTimestamp": None, "labels": {"kind": "store"}, "name": "store"}
    assert service["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
        "selector": {"app": "db"},
    }
    assert made(shell, "deploy/front")["spec"]["ports"] == [{"port": 9000, "protocol": "TCP", "targetPort": 9000}]
    service = made(shell, "svc", "old", "--name=new", "--port=91", "--target-port=9", "--protocol=UDP", "-l", "a=b")
    assert service["spec"]["ports"] == [{"port": 91, "protocol": "UDP", "targetPort": 9}]
    assert service["metadata"]["labels"] == {"a": "b"}


def test_the_flags_of_a_service(shell: Shell) -> None:
    spec = made(shell, "rc", "db", "--port=80", "--type=NodePort", "--session-affinity=ClientIP")["spec"]
    assert (spec["type"], spec["sessionAffinity"]) == ("NodePort", "ClientIP")
    spec = made(shell, "rc", "db", "--cluster-ip=None", "--selector=a=b", "--external-ip=1.2.3.4")["spec"]
    assert spec == {"clusterIP": "None", "selector": {"a": "b"}, "externalIPs": ["1.2.3.4"]}
    overrides = '{"apiVersion":"v1","spec":{"type":"NodePort"}}'
    assert made(shell, "rc", "db", "--port=80", f"--overrides={overrides}")["spec"]["type"] == "NodePort"


def test_the_service_is_created(shell: Shell) -> None:
    assert shell("expose", "rc", "db", "--port=80").stdout == "service/db exposed\n"
    service = shell.server.get(scheme.SERVICES, "default/db")
    assert service is not None
    assert service.spec.clusterIP
    again = shell("expose", "rc", "db", "--port=80")
    assert (again.code, again.stderr) == (1, 'Error from server (AlreadyExists): services "db" already exists\n')
    dry = shell("expose", "pod", "web", "--dry-run=server")
    assert dry.stdout == "service/web exposed (server dry run)\n"
    assert shell.server.get(scheme.SERVICES, "default/web") is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "pod bare",
            "error: couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot "
            "be exposed\nSee 'kctl expose -h' for help and examples\n",
        ),
        (
            "rc db",
            "error: couldn't find port via --port flag or introspection\nSee 'kctl expose -h' for help and examples\n",
        ),
        ("rc db --port=x", 'error: strconv.Atoi: parsing "x": invalid syntax\n'),
        ("ns default --port=1", "error: cannot expose a Namespace\n"),
        ("rc db --port=1 --session-affinity=x", "error: unknown session affinity: x\n"),
        ("rc nope --port=1", 'Error from server (NotFound): replicationcontrollers "nope" not found\n'),
        ("rc", "error: resource(s) were provided, but no name was specified\n"),
    ],
)
def test_refused(shell: Shell, line: str, told: str) -> None:
    refused = shell("expose", *line.split())
    assert (refused.code, refused.stdout, refused.stderr) == (1, "", told)
