"""The tutorial's first chapter: build, run, expose, ask, delete."""

from __future__ import annotations

import json
import re

from tests.e2e.terminal import Tutorial, eventually, fetch, try_fetch


def test_the_chapter_as_typed(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    run = terminal.type(
        f"kctl run hello-kube --restart='Always' --port=8080 --labels='app=node' --image='{tutorial.image}'"
    )
    assert run.stdout == "pod/hello-kube created\n"
    assert terminal.type("kctl create service loadbalancer node --tcp=80:8080").stdout == "service/node created\n"
    terminal.running("app=node", 1)

    service = terminal.type("kctl get service --selector='app=node' --show-labels")
    assert re.split(r"\s{2,}", service.lines[0]) == [
        "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "LABELS",
    ]  # fmt: skip
    name, kind, address, external, ports, _age, labels = service.rows[1]
    assert (name, kind, external, labels) == ("node", "LoadBalancer", "<pending>", "app=node")
    assert re.fullmatch(r"10\.\d+\.\d+\.\d+", address)
    node_port = re.fullmatch(r"80:(3[0-2]\d{3})/TCP", ports)
    assert node_port

    table = terminal.type("kubelab service node").stdout
    assert re.search(r"\| *NAMESPACE *\| *NAME *\| *TARGET PORT *\| *NODE ADDRESS *\|", table), table
    assert re.search(rf"\| default +\| node +\| 80-8080/80 +\| {terminal.network}\.\d+:{node_port[1]} +\|", table)

    url = terminal.url("node")
    answer = eventually(lambda: try_fetch(url), what="an answer through the service")
    assert json.loads(answer) == {
        "error_code": 0,
        "error_message": None,
        "data": "Hello Kubernetes this is Container ID is hello-kube",
    }
    assert terminal.type("kctl delete pods hello-kube").stdout == 'pod "hello-kube" deleted\n'
    assert terminal.type("kctl get pods").stderr == "No resources found in default namespace.\n"
    terminal.type("kctl delete service node")


def test_a_second_request_uses_the_same_address(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type(f"kctl run again --port=8080 --labels='app=again' --image='{tutorial.image}'")
    terminal.type("kctl create service nodeport again --tcp=80:8080")
    terminal.running("app=again", 1)
    first, second = terminal.url("again"), terminal.url("again")
    assert first == second
    eventually(lambda: try_fetch(first))
    assert "Container ID is again" in fetch(second)
    terminal.type("kctl delete service again")
    terminal.type("kctl delete pod again --now")
