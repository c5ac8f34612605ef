"""kopf runs the example's operator: a kind of its own, children, a status, a finalizer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.terminal import ROOT, Terminal, eventually

pytestmark = pytest.mark.timeout(600)
EXAMPLE = ROOT / "examples" / "operator"
NAMESPACE = "sites"
WEBSITE = """\
apiVersion: example.kubelab.dev/v1
kind: Website
metadata: {name: home}
spec: {page: "It's me"}
"""


@pytest.fixture(scope="module")
def operator(tools: Terminal) -> Iterator[Terminal]:
    """The operator at work in a namespace of its own."""
    tools.type(f"kubectl apply -f {EXAMPLE}/crd.yaml")
    tools.type("kubectl wait --for=condition=Established crd/websites.example.kubelab.dev --timeout=60s")
    tools.type(f"kubectl create namespace {NAMESPACE}")
    with (tools.folder / "operator.log").open("wb") as log:
        process = subprocess.Popen(
            ["kopf", "run", "--standalone", "-n", NAMESPACE, EXAMPLE / "operator.py"],
            cwd=tools.folder,
            env=tools.environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield tools
    finally:
        process.terminate()
        process.wait(60)
        tools.type(f"kubectl delete namespace {NAMESPACE} --wait=false")
        tools.type("kubectl delete crd websites.example.kubelab.dev --timeout=60s")


def shown(terminal: Terminal, path: str) -> str:
    return terminal.type(f"kubectl get website home -n {NAMESPACE} -o jsonpath='{{{path}}}'").stdout


def test_an_operator_keeps_what_its_kind_asks_for(operator: Terminal) -> None:
    operator.type(f"kubectl apply -n {NAMESPACE} -f -", stdin=WEBSITE)
    eventually(lambda: shown(operator, ".status.shown") == "1/1", within=120, what="one server is ready")
    listed = operator.type(f"kubectl get web -n {NAMESPACE}").rows
    assert listed == [["NAME", "PAGE", "READY"], ["home", "It's me", "1/1"]]
    assert shown(operator, ".metadata.finalizers") == '["example.kubelab.dev/remembered"]'

    operator.type(f"kubectl scale website home --replicas=2 -n {NAMESPACE}")
    eventually(lambda: shown(operator, ".status.ready") == "2", within=120, what="two servers are ready")
    refused = operator.type(f"kubectl scale website home --replicas=9 -n {NAMESPACE}", code=1).stderr
    assert "spec.replicas in body should be less than or equal to 5" in refused

    gone = operator.type(f"kubectl delete website home -n {NAMESPACE} --timeout=90s").stdout
    assert gone.startswith('website.example.kubelab.dev "home" deleted')
    kept = operator.type(f"kubectl get cm home-last-page -n {NAMESPACE} -o jsonpath='{{.data.page}}'").stdout
    assert kept == "It's me"

    def children_gone() -> bool:
        return not operator.type(f"kubectl get deployments,services -n {NAMESPACE} -o name").stdout

    eventually(children_gone, within=90, what="the children go with their owner")


def test_custom_objects_go_with_their_namespace(tools: Terminal) -> None:
    tools.type(f"kubectl apply -f {EXAMPLE}/crd.yaml")
    tools.type("kubectl create namespace short-lived")
    tools.type("kubectl apply -n short-lived -f -", stdin=WEBSITE)
    tools.type("kubectl delete namespace short-lived --timeout=90s")
    assert "short-lived" not in tools.type("kubectl get websites -A", code=None).stdout
