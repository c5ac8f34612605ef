"""Released kubectl, typed as in its own documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.transcript import read
from tests.e2e.terminal import Terminal, eventually

pytestmark = pytest.mark.timeout(900)
TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
# What kubectl prints as kctl does, on the same objects.
ALIKE = (
    "get nodes -o wide",
    "get namespaces --show-labels",
    "get services -A -o wide",
    "get endpoints -A",
    "get endpointslices -A",
    "get leases -A",
    "get serviceaccounts -A",
    "get configmaps -A",
    "get priorityclasses",
    "get componentstatuses",
    "get service kubernetes -o yaml",
    "get service kubernetes -o json",
    "get node node-1 -o yaml",
    "get namespace default -o jsonpath='{.metadata.labels}'",
    "describe service kubernetes",
    "describe namespace default",
    "describe priorityclass system-node-critical",
    "get --raw /healthz",
    "get --raw /livez",
)
# What is asked of both about an object that is there, and not kept.
DRY_RUNS = (
    "run web --image=nginx --dry-run=client -o yaml",
    "run web --image=nginx --port=80 --labels=app=web,tier=front --env=A=1 --env=B=two --dry-run=client -o yaml",
    "run web --image=busybox --restart=OnFailure --command --dry-run=client -o json -- sh -c 'echo hello'",
    "run web --image=nginx --image-pull-policy=Never --annotations=a=b --privileged --dry-run=client -o json",
    "run web --image=nginx --port=80 --expose --dry-run=client",
    """run web --image=nginx --overrides='{"spec":{"nodeName":"n"}}' --dry-run=client -o yaml""",
    "run web --image=nginx --overrides={} --override-type=x --dry-run=client",
    "run web --image=nginx --save-config --dry-run=client -o yaml",
    "expose deploy web --port=80 --dry-run=client -o yaml",
    "expose deploy web --port=80 --target-port=8080 --type=NodePort --name=x --dry-run=client -o json",
    "expose deploy nope --port=80",
    "autoscale deploy web --max=5 --min=2 --dry-run=client",
    "autoscale node node-1 --max=5",
    "autoscale deploy nope --max=5",
    "set image deploy/web web=x --dry-run=client -o json",
    "set env deploy/web A=1 --dry-run=client -o yaml",
    "scale deploy web --replicas=3 --dry-run=client -o json",
    "scale deploy web --replicas=3 --dry-run=server",
    "taint node node-1 a=b:NoSchedule --dry-run=client -o json",
    "label node node-1 a=b --dry-run=client -o json",
    "annotate deploy web a=b --dry-run=client -o json",
    "rollout history deploy web -o json",
    "rollout restart deploy nope",
    "cordon node-1 --dry-run=client",
    "drain node-1 --dry-run=client --ignore-daemonsets --force",
)
# What newer versions do otherwise, from this minor version on: the order of the two, and a dry run's replicas.
CHANGED = {
    "run web --image=nginx --port=80 --expose --dry-run=client": 37,
    "scale deploy web --replicas=3 --dry-run=client -o json": 37,
}


@pytest.fixture(scope="module")
def deployment(tools: Terminal) -> Iterator[None]:
    """A deployment of no pods, whose status stands still."""
    tools.type("kubectl create deployment web --image=kubelab/web:1 --replicas=0 --port=8080")
    tools.type("kubectl rollout status deployment web", deadline=60)
    yield
    tools.type("kubectl delete deployment web")


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_what_kubectl_prints(tools: Terminal, path: Path) -> None:
    tools.type(f"kubectl create namespace {path.stem}")
    tools.type(f"kubectl config set-context --current --namespace={path.stem}")
    try:
        for step in read(path):
            answer = tools.type(step.command, code=None, stdin=step.stdin, deadline=150)
            mismatch = step.mismatch(answer.stderr + answer.stdout)
            assert not mismatch, mismatch
            assert answer.code == step.code, str(answer)
    finally:
        tools.type("kubectl config set-context --current --namespace=default")
        tools.type(f"kubectl delete namespace {path.stem} --wait=false")


def test_the_flow_names_kubectl_beside_the_certificate(tools: Terminal) -> None:
    tools.type("kubectl run flow --image=kubelab/sh:1")
    tools.running("run=flow", 1)
    flow = tools.type("kubelab flow pod/flow").stdout
    assert re.search(r"kubernetes-admin \(says kubectl/v1\.\d+\.\d+\) ─+▶ api-server@cp-1 +create pod flow", flow), flow
    tools.type("kubectl delete pod flow --now")


@pytest.mark.parametrize("words", ALIKE)
def test_kubectl_and_kctl_print_the_same(tools: Terminal, words: str) -> None:
    def alike() -> bool:
        ours, theirs = (tools.type(f"{program} {words}") for program in ("kctl", "kubectl"))
        assert steady(theirs.stdout) == steady(ours.stdout)
        assert steady(theirs.stderr) == steady(ours.stderr)
        return True

    eventually(alike)  # something of another test may go between the two


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize("words", DRY_RUNS)
def test_kubectl_and_kctl_would_do_the_same(tools: Terminal, words: str) -> None:
    """Newer versions leave ``creationTimestamp: null`` out and have a printer more; kctl prints as 1.32."""
    ours, theirs = (tools.type(f"{program} {words}", code=None) for program in ("kctl", "kubectl"))
    assert ours.code == theirs.code
    minor = int(yaml.safe_load(tools.type("kubectl version --client -o yaml").stdout)["clientVersion"]["minor"])
    alike = steady(theirs.stdout.replace("kubectl ", "kctl ")) == steady(ours.stdout)
    assert alike == (minor < CHANGED.get(words, minor + 1)), f"{theirs}\n{ours}"
    assert steady(theirs.stderr.replace("kubectl ", "kctl ")) == steady(ours.stderr)


@pytest.mark.usefixtures("deployment")
def test_autoscalers_are_those_of_1_32(tools: Terminal) -> None:
    """1.32 writes autoscaling/v1, kctl too; newer ones write v2, and have other flags."""
    words = "autoscale deploy web --max=5 --min=2 --cpu-percent=80 --dry-run=client"
    ours = yaml.safe_load(tools.type(f"kctl {words} -o yaml").stdout)
    assert (ours["apiVersion"], ours["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 80)
    theirs = tools.type(f"kubectl {words} -o yaml")
    if "deprecated" not in theirs.stderr:
        assert yaml.safe_load(theirs.stdout) == ours


def steady(printed: str) -> list[str]:
    """Leave out what passes: ages, the moment of a heartbeat; columns are as wide as they are."""
    lines = (re.sub(r"\b(\d+[smhd])+\b", "AGE", re.sub(r"\s+", " ", line)) for line in printed.splitlines())
    return [
        line
        for line in lines
        if not re.search("resourceVersion|renewTime|heartbeat|Heartbeat|creationTimestamp.*: null", line)
    ]


def test_the_paths_of_a_kubelet(tools: Terminal) -> None:
    """As people look at a kubelet through the api-server."""
    root = "/api/v1/nodes/node-1/proxy"
    assert tools.type(f"kubectl get --raw {root}/healthz").stdout == "ok"
    assert tools.type("kubectl get --raw /api/v1/nodes/node-1:10250/proxy/healthz").stdout == "ok"
    assert "process_resident_memory_bytes" in tools.type(f"kubectl get --raw {root}/metrics").stdout
    assert json.loads(tools.type(f"kubectl get --raw {root}/pods").stdout)["kind"] == "PodList"
    config = json.loads(tools.type(f"kubectl get --raw {root}/configz").stdout)["kubeletconfig"]
    assert config["nodeName"] == "node-1"
    assert "NotFound" in tools.type(f"kubectl get --raw {root}/none", code=1).stderr
    refused = tools.type(f"kubectl get --raw {root}/healthz --as=jane", code=1)
    assert 'cannot get resource "nodes/proxy"' in refused.stderr
