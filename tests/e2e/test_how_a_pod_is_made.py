"""The chapter on how a pod is made: every arrow of the diagrams, in order, with who and how long."""

from __future__ import annotations

import json

from tests.e2e.terminal import OWN_FILES, Terminal


def test_the_flow_shows_each_arrow_in_order(terminal: Terminal) -> None:
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type(f"kctl create -f {OWN_FILES}/00001/00001.yml")
    node = terminal.running("app=node", 1) and terminal.type("kctl get pod app-node -o wide --no-headers").rows[0][6]
    flow = terminal.type("kubelab flow pod/app-node").stdout
    places = [
        flow.index(word)
        for word in (
            "kubernetes-admin (says kctl)",
            "api-server@cp-1",
            "scheduler@cp-1",
            f"kubelet@{node}",
            "RunPodSandbox",
            "CreateContainer",
            "StartContainer",
        )
    ]
    assert places == sorted(places), flow
    assert "etcd" in flow
    assert "ms" in flow


def test_the_flow_as_data_joins_causes(terminal: Terminal) -> None:
    """Every write of the pod names its revision, and what came of it names the revision it acted on."""
    steps = json.loads(terminal.type("kubelab flow pod/app-node -o json").stdout)
    written = [step["revision"] for step in steps if step["what"] == "write"]
    assert written == sorted(written, key=int)
    heard = {step["target"].split("@")[0]: step["revision"] for step in steps if step["what"] == "watch event"}
    assert heard["scheduler"] == written[0], "the scheduler acted on the create"
    assert heard["kubelet"] in written[1:], "the kubelet acted on the binding, or on its own status after it"
    assert any(step["what"].startswith("bind app-node to ") for step in steps)
    assert all(step["trace_id"] for step in steps if step.get("claimed") == "kctl")


def test_a_pod_that_is_not_there(terminal: Terminal) -> None:
    missing = terminal.type("kubelab flow pod/nobody", code=1)
    assert 'pods "nobody" not found' in missing.stderr
