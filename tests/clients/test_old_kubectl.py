"""Debian's kubectl 1.20, twelve minor versions behind the server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.clients import debian
from tests.e2e.terminal import Answer, Terminal

pytestmark = pytest.mark.timeout(600)
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: old}
spec:
  replicas: 1
  selector: {matchLabels: {app: old}}
  template:
    metadata: {labels: {app: old}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "kubelab/sh:1", command: [sh, -c, echo old; sleep 1000]}]
"""


class Kubectl:
    def __init__(self, terminal: Terminal, program: str) -> None:
        self._terminal, self._program = terminal, program

    def __call__(self, words: str, *, stdin: str = "", code: int = 0) -> Answer:
        return self._terminal.type(f"{self._program} -n old {words}", stdin=stdin, code=code, deadline=180)


@pytest.fixture(scope="module")
def kubectl(lab: Terminal) -> Iterator[Kubectl]:
    program = debian.program("kubernetes-client", "usr/bin/kubectl")
    lab.type("kctl create namespace old")
    yield Kubectl(lab, str(program))
    lab.type("kctl delete namespace old --wait=false")


def test_it_reads_writes_and_waits(kubectl: Kubectl) -> None:
    assert kubectl("get nodes -o name").lines == ["node/cp-1", "node/node-1"]
    assert "Server Version: v1.32" in kubectl("version --short").stdout
    assert kubectl("apply -f -", stdin=DEPLOYMENT).lines == ["deployment.apps/old created"]
    assert kubectl("apply -f -", stdin=DEPLOYMENT).lines == ["deployment.apps/old unchanged"]
    assert kubectl("rollout status deployment/old --timeout=120s").lines[-1].endswith("successfully rolled out")
    assert kubectl("get deployments").rows[1][:4] == ["old", "1/1", "1", "1"]
    assert kubectl("logs deployment/old").stdout == "old\n"
    assert re.search(r"^Replicas: +1 desired", kubectl("describe deployment old").stdout, re.MULTILINE)
    assert kubectl("scale deployment old --replicas=0").lines == ["deployment.apps/old scaled"]
    assert kubectl("create configmap one --from-literal=a=1").lines == ["configmap/one created"]
    assert kubectl("label configmap one b=2").lines == ["configmap/one labeled"]
    assert kubectl("get configmap one -o jsonpath='{.data.a}'").stdout == "1"
    assert kubectl("delete deployment,configmap --all").lines[0] == 'deployment.apps "old" deleted'


def test_it_validates_and_explains_by_openapi_2(kubectl: Kubectl) -> None:
    wrong = DEPLOYMENT.replace("replicas: 1", "replica: 1")
    refused = kubectl("create -f -", stdin=wrong, code=1).stderr
    assert 'ValidationError(Deployment.spec): unknown field "replica" in io.k8s.api.apps.v1.DeploymentSpec' in refused
    assert "FIELD:    replicas <integer>" in kubectl("explain deployment.spec.replicas").stdout
