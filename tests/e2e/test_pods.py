"""The chapter on pods and labels."""

from __future__ import annotations

import re

from tests.e2e.terminal import Tutorial, eventually

STOP_SIGNAL = "SIGKILL"


def test_create_get_and_delete_by_every_name(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    assert terminal.type("kctl create -f assets/00001/00001.yml").stdout == "pod/app-node created\n"
    terminal.running("app=node", 1)
    for word in ("pods", "pod", "po"):
        got = terminal.type(f"kctl get {word} app-node")
        assert got.rows[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert got.rows[1][:4] == ["app-node", "1/1", "Running", "0"]
        assert re.fullmatch(r"\d+(s|m|m\d+s)", got.rows[1][4])
    assert terminal.type("kctl delete pods app-node").stdout == 'pod "app-node" deleted\n'
    gone = terminal.type("kctl get pods app-node", code=1)
    assert gone.stderr == 'Error from server (NotFound): pods "app-node" not found\n'


def test_labels(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create service loadbalancer node --tcp=80:8080")
    terminal.type("kctl create -f assets/00001/00001.yml")
    terminal.running("app=node", 1)
    shown = terminal.type("kctl get pods --show-labels")
    assert shown.rows[0][-1] == "LABELS"
    assert shown.rows[1][-1] == "app=node"
    for selector in ("--selector='app=node'", "-l='app=node'", "--l='app=node'", "-l app=node"):
        assert [row[0] for row in terminal.type(f"kctl get pods {selector}").rows] == ["NAME", "app-node"]
    for column in ("--label-columns='app'", "-L='app'"):
        table = terminal.type(f"kctl get pods --selector='app=node' {column}").rows
        assert (table[0][-1], table[1][-1]) == ("APP", "node")
    none = terminal.type("kctl get pods -l='app=other'")
    assert none.stderr == "No resources found in default namespace.\n"

    described = terminal.type("kctl describe service node").stdout
    assert re.match(
        r"Name: +node\nNamespace: +default\nLabels: +app=node\nAnnotations: +<none>\nSelector: +app=node\n", described
    )
    eventually(lambda: re.search(r"Endpoints: +10\.244\.\d+\.\d+:8080", terminal.type("kctl describe svc node").stdout))
    terminal.type("kctl delete pod/app-node service/node")


def test_the_namespace_is_default(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create -f assets/00001/00001.yml")
    described = terminal.type("kctl describe pods app-node").stdout
    assert re.match(r"Name: +app-node\nNamespace: +default\n", described)
    terminal.running("app=node", 1)
    assert "Successfully assigned default/app-node to " in terminal.type("kctl describe pods app-node").stdout
    assert "server is running at" in terminal.type("kctl logs app-node").stdout
    terminal.type("kctl delete -f assets/00001/00001.yml")


def test_two_pods_of_one_name_in_two_namespaces(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create -f assets/00001/00002.yml -f assets/00001/00001.yml -f assets/00001/00003.yml")
    terminal.running("app=node", 1)
    terminal.running("app=node", 1, namespace="user-namespace")
    both = terminal.type("kctl get pods,namespace -l='app=node' --namespace='user-namespace'").stdout
    assert re.search(r"^NAME +READY +STATUS +RESTARTS +AGE\npod/app-node +1/1 +Running", both)
    assert re.search(r"\n\nNAME +STATUS +AGE\nnamespace/user-namespace +Active", both)
    everything = terminal.type("kctl delete pods,service,namespace --all -A", code=None, deadline=180)
    assert 'namespace "user-namespace" deleted' in everything.stdout
    # The system's namespaces are refused, and whoever is refused something does not wait for the rest, as with kubectl.
    system = ["default", "kube-node-lease", "kube-public", "kube-system"]
    eventually(
        lambda: [row[0] for row in terminal.type("kctl get namespace --no-headers").rows] == system,
        what="the user's namespace to go",
    )
    eventually(lambda: terminal.type("kctl get service kubernetes", code=None).code == 0, what="service kubernetes")
