"""``kctl cordon``, ``uncordon``, ``drain`` and ``taint`` against an api-server in memory."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery.scheme import NODES, PODS
from tests.support import objects as make
from tests.unit.kctl.conftest import Shell

WEB = make.replication_controller("web")


def node(shell: Shell, name: str = "node-1") -> core_pb2.Node:
    found = shell.server.get(NODES, name)
    assert found is not None
    return found


def ended(name: str, **fields: object) -> core_pb2.Pod:
    """A pod that goes at once when it is evicted."""
    return make.pod(name, node="node-1", phase="Succeeded", owner=make.controlled_by(WEB), **fields)  # type: ignore[arg-type]


def test_cordon_and_back(shell: Shell) -> None:
    shell.server.add(make.node("node-1"), make.node("node-2", labels={"disk": "ssd"}))
    assert shell("cordon", "node-1", "--dry-run=client").stdout == "node/node-1 cordoned (dry run)\n"
    assert not node(shell).spec.unschedulable
    assert shell("cordon", "node-1").stdout == "node/node-1 cordoned\n"
    assert node(shell).spec.unschedulable
    assert shell("cordon", "node-1").stdout == "node/node-1 already cordoned\n"
    assert shell("uncordon", "node/node-1").stdout == "node/node-1 uncordoned\n"
    assert not node(shell).spec.unschedulable
    assert shell("uncordon", "node-1").stdout == "node/node-1 already uncordoned\n"
    assert shell("cordon", "-l", "disk=ssd").stdout == "node/node-2 cordoned\n"
    outcome = shell("cordon", "nope")
    assert (outcome.code, outcome.stderr) == (1, 'Error from server (NotFound): nodes "nope" not found\n')


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("cordon", "error: USAGE: cordon NODE [flags]\nSee 'kctl cordon -h' for help and examples\n"),
        (
            "drain x -l a=b",
            "error: cannot specify both a node name and a --selector option\n"
            "See 'kctl drain -h' for help and examples\n",
        ),
        ("taint nodes x", "error: at least one taint update is required\n"),
        ("taint", "error: one or more resources must be specified as <resource> <name>\n"),
        (
            "taint nodes x k=v:Foo",
            "error: invalid taint effect: Foo, unsupported taint effect\nSee 'kctl taint -h' for help and examples\n",
        ),
        (
            "taint nodes x k=v:NoSchedule k=w:NoSchedule",
            "error: duplicated taints with the same key and effect: {k w NoSchedule <nil>}\n"
            "See 'kctl taint -h' for help and examples\n",
        ),
        (
            "taint nodes x a=b=c:NoSchedule",
            "error: invalid taint spec: a=b=c:NoSchedule\nSee 'kctl taint -h' for help and examples\n",
        ),
        ("taint nodes x k=v:NoSchedule y", "error: all resources must be specified before taint changes: y\n"),
        (
            "taint nodes x k:a:b",
            "error: invalid taint spec: k:a:b\nSee 'kctl taint -h' for help and examples\n",
        ),
    ],
)
def test_wrong_command_lines(shell: Shell, line: str, error: str) -> None:
    outcome = shell(*line.split())
    assert (outcome.code, outcome.stdout, outcome.stderr) == (1, "", error)


def taints(shell: Shell) -> list[str]:
    return [f"{t.key}={t.value}:{t.effect}" for t in node(shell).spec.taints]


def test_taints_come_change_and_go(shell: Shell) -> None:
    shell.server.add(make.node("node-1"))
    assert shell("taint", "nodes", "node-1", "k=v:NoSchedule", "--dry-run=client").stdout == (
        "node/node-1 tainted (dry run)\n"
    )
    assert taints(shell) == []
    assert shell("taint", "nodes", "node-1", "k=v:NoSchedule", "bar:NoExecute").stdout == "node/node-1 tainted\n"
    assert taints(shell) == ["k=v:NoSchedule", "bar=:NoExecute"]
    again = shell("taint", "no", "node-1", "k=w:NoSchedule")
    assert (again.code, again.stderr) == (
        1,
        "error: node node-1 already has k taint(s) with same effect(s) and --overwrite is false\n",
    )
    assert shell("taint", "node", "node-1", "k=w:NoSchedule", "--overwrite").stdout == "node/node-1 modified\n"
    assert taints(shell) == ["k=w:NoSchedule", "bar=:NoExecute"]
    assert shell("taint", "node", "node-1", "k-").stdout == "node/node-1 untainted\n"
    gone = shell("taint", "node", "node-1", "bar:NoSchedule-")
    assert (gone.code, gone.stderr) == (1, 'error: taint "bar:NoSchedule" not found\n')
    assert shell("taint", "node", "--all", "bar:NoExecute-", "new:NoSchedule").stdout == "node/node-1 modified\n"
    assert taints(shell) == ["new=:NoSchedule"]
    assert shell("taint", "pods", "web", "k:NoSchedule").stderr == (
        'error: invalid resource type pods, only ["node" "nodes"] are supported\n'
    )


def test_drain_evicts_and_waits(shell: Shell) -> None:
    shell.server.add(make.node("node-1"), WEB, ended("web-1"), make.pod("elsewhere", node="node-2"))
    outcome = shell("drain", "node-1")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == (
        "node/node-1 cordoned\nevicting pod default/web-1\npod/web-1 evicted\nnode/node-1 drained\n"
    )
    assert node(shell).spec.unschedulable
    assert [call.subresource for call in shell.server.calls if call.resource == "pods" and call.verb == "create"] == [
        "eviction"
    ]
    assert shell.server.get(PODS, "default/web-1") is None
    assert shell.server.get(PODS, "default/elsewhere") is not None
    assert shell("drain", "node-1").stdout == "node/node-1 already cordoned\nnode/node-1 drained\n"


def test_a_dry_run_of_a_drain(shell: Shell) -> None:
    shell.server.add(make.node("node-1"), WEB, ended("web-1"))
    assert shell("drain", "node-1", "--dry-run=client").stdout == (
        "node/node-1 cordoned (dry run)\nevicting pod default/web-1 (dry run)\nnode/node-1 drained (dry run)\n"
    )
    assert shell("drain", "node-1", "--dry-run=server").stdout == (
        "node/node-1 cordoned (server dry run)\nevicting pod default/web-1 (server dry run)\n"
        "pod/web-1 evicted (server dry run)\nnode/node-1 drained (server dry run)\n"
    )
    assert shell.server.get(PODS, "default/web-1") is not None
    assert not node(shell).spec.unschedulable


def test_what_holds_up_a_drain(shell: Shell) -> None:
    daemon = make.controlled_by(WEB)
    daemon.kind, daemon.uid, daemon.name = "DaemonSet", "uid-of-agent", "agent"
    local = make.pod("local", node="node-1", phase="Running", owner=make.controlled_by(WEB))
    local.spec.volumes.add(name="v").volumeSource.emptyDir.SetInParent()
    bare = make.pod("bare", node="node-1", phase="Running")
    shell.server.add(make.node("node-1"), local, bare)
    outcome = shell("drain", "node-1")
    fatal = (
        "cannot delete Pods that declare no controller (use --force to override): default/bare",
        "cannot delete Pods with local storage (use --delete-emptydir-data to override): default/local",
    )
    assert outcome.code == 1
    assert outcome.stdout == "node/node-1 cordoned\n"
    assert outcome.stderr == (
        f'error: unable to drain node "node-1" due to error: [{", ".join(fatal)}], continuing command...\n'
        "There are pending nodes to be drained:\n node-1\n" + "".join(f"{line}\n" for line in fatal)
    )
    shell.server.add(make.pod("agent-1", node="node-1", phase="Running", owner=daemon))
    missing = shell("drain", "node-1", "--pod-selector=x=y")
    assert missing.code == 0  # no pod is chosen
    assert 'daemonsets.apps "agent" not found' in shell("drain", "node-1").stderr
    forced = shell("drain", "node-1", "--force", "--delete-emptydir-data", "--dry-run=client")
    assert forced.code == 0
    assert forced.stderr == (
        'Warning: daemonsets.apps "agent" not found: default/agent-1; '
        "deleting Pods that declare no controller: default/bare; deleting Pods with local storage: default/local\n"
    )


def test_delete_without_eviction(shell: Shell) -> None:
    shell.server.add(make.node("node-1"), ended("web-1"))
    assert shell("drain", "node-1", "--disable-eviction").stdout == (
        "node/node-1 cordoned\npod/web-1 deleted\nnode/node-1 drained\n"
    )


def test_a_budget_that_says_no_until_the_time_is_up(shell: Shell) -> None:
    budget = policy_pb2.PodDisruptionBudget()
    budget.metadata.name, budget.metadata.namespace = "web", "default"
    budget.spec.selector.matchLabels["app"] = "web"
    pod = make.pod(
        "web-1", labels={"app": "web"}, node="node-1", phase="Running", ready=True, owner=make.controlled_by(WEB)
    )
    shell.server.add(make.node("node-1"), budget, pod)
    outcome = shell("drain", "node-1", "--timeout=1s")
    assert outcome.code == 1
    assert outcome.stdout == "node/node-1 cordoned\nevicting pod default/web-1\n"
    assert outcome.stderr == (
        'error when evicting pods/"web-1" -n "default" (will retry after 5s): '
        "Cannot evict pod as it would violate the pod's disruption budget.\n"
        'There are pending pods in node "node-1" when an error occurred: drain did not complete within 1s\n'
        "pod/web-1\n"
        'error: unable to drain node "node-1" due to error: drain did not complete within 1s, continuing command...\n'
        "There are pending nodes to be drained:\n node-1\ndrain did not complete within 1s\n"
    )
    assert shell.server.get(PODS, "default/web-1") is not None
