"""The chapter on namespaces."""

from __future__ import annotations

import re

from tests.e2e.terminal import Tutorial, eventually

STOP_SIGNAL = "SIGKILL"
SYSTEM = ["default", "kube-node-lease", "kube-public", "kube-system"]


def test_the_namespace_is_default(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create -f assets/00001/00001.yml")
    described = terminal.type("kctl describe pods app-node").stdout
    assert re.match(r"Name: +app-node\nNamespace: +default\n", described)
    terminal.type("kctl delete pods app-node")


def test_the_system_namespaces_are_there_from_the_start(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    for word in ("namespace", "namespaces", "ns"):
        rows = terminal.type(f"kctl get {word}").rows
        assert rows[0] == ["NAME", "STATUS", "AGE"]
        assert [row[:2] for row in rows[1:]] == [[name, "Active"] for name in SYSTEM]
    described = terminal.type("kctl describe namespace kube-system").stdout
    assert described == (
        "Name:         kube-system\n"
        "Labels:       kubernetes.io/metadata.name=kube-system\n"
        "Annotations:  <none>\n"
        "Status:       Active\n"
        "\n"
        "No resource quota.\n"
        "\n"
        "No LimitRange resource.\n"
    )


def test_a_namespace_by_command(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    assert terminal.type("kctl create namespace user-namespace").stdout == "namespace/user-namespace created\n"
    again = terminal.type("kctl create namespace user-namespace", code=1)
    assert again.stderr == 'Error from server (AlreadyExists): namespaces "user-namespace" already exists\n'
    assert terminal.type("kctl delete namespace user-namespace").stdout == 'namespace "user-namespace" deleted\n'


LIMITED = """\
apiVersion: v1
kind: LimitRange
metadata: {name: sizes}
spec: {limits: [{type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 100m}}]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: few}
spec: {hard: {pods: "3"}}
"""


def test_describe_shows_quota_and_limits(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create namespace limited")
    terminal.type("kctl create -n limited -f -", stdin=LIMITED)

    def described() -> bool:
        text = terminal.type("kctl describe namespace limited").stdout
        assert re.search(r"\nResource Quotas\n  Name: +few\n  Resource +Used +Hard\n.*\n  pods +0 +3\n", text), text
        assert re.search(r"\nResource Limits\n(.*\n){2} Container +cpu +- +- +100m +500m +-\n", text), text
        return True

    eventually(described)
    terminal.type("kctl delete namespace limited")


def test_two_pods_of_one_name_in_two_namespaces(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create -f assets/00001/00001.yml")
    created = terminal.type("kctl create -f assets/00001/00002.yml")
    assert created.stdout == "namespace/user-namespace created\n"
    created = terminal.type("kctl create -f assets/00001/00003.yml")
    assert created.stdout == "pod/app-node created\n"
    terminal.running("app=node", 1)
    terminal.running("app=node", 1, namespace="user-namespace")
    for selector in ("-l='app=node'", "--l='app=node'", "--selector='app=node'"):
        rows = terminal.type(f"kctl get namespace {selector}").rows
        assert [row[:2] for row in rows] == [["NAME", "STATUS"], ["user-namespace", "Active"]]
    for flag in ("--namespace='user-namespace'", "-n user-namespace", "-n='user-namespace'"):
        rows = terminal.type(f"kctl get pods {flag}").rows
        assert [row[:3] for row in rows[1:]] == [["app-node", "1/1", "Running"]]
    both = terminal.type("kctl get pods,namespace -l='app=node' --namespace='user-namespace'").stdout
    assert re.search(r"^NAME +READY +STATUS +RESTARTS +AGE\npod/app-node +1/1 +Running", both)
    assert re.search(r"\n\nNAME +STATUS +AGE\nnamespace/user-namespace +Active", both)
    everything = terminal.type("kctl delete pods,service,namespace --all -A", code=None, deadline=180)
    assert 'namespace "user-namespace" deleted' in everything.stdout
    # The system's namespaces are refused, and whoever is refused something does not wait for the rest, as with kubectl.
    eventually(
        lambda: [row[0] for row in terminal.type("kctl get namespace --no-headers").rows] == SYSTEM,
        what="the user's namespace to go",
    )
    eventually(lambda: terminal.type("kctl get service kubernetes", code=None).code == 0, what="service kubernetes")
