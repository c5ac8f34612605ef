"""Released kubectl, typed as in its own documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
)


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


@pytest.mark.parametrize("words", ALIKE)
def test_kubectl_and_kctl_print_the_same(tools: Terminal, words: str) -> None:
    def alike() -> bool:
        ours, theirs = (tools.type(f"{program} {words}") for program in ("kctl", "kubectl"))
        assert steady(theirs.stdout) == steady(ours.stdout)
        assert steady(theirs.stderr) == steady(ours.stderr)
        return True

    eventually(alike)  # something of another test may go between the two


def steady(printed: str) -> list[str]:
    """Leave out what passes: ages, the moment of a heartbeat; columns are as wide as they are."""
    lines = (re.sub(r"\b(\d+[smhd])+\b", "AGE", re.sub(r"\s+", " ", line)) for line in printed.splitlines())
    return [line for line in lines if not re.search("resourceVersion|renewTime|heartbeat|Heartbeat", line)]
