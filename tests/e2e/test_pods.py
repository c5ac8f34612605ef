"""The chapter on pods: create, get by every name, delete."""

from __future__ import annotations

import re

from tests.e2e.terminal import Tutorial

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


def test_a_pod_says_where_it_runs_and_what_it_printed(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    terminal.type("kctl create -f assets/00001/00001.yml")
    terminal.running("app=node", 1)
    described = terminal.type("kctl describe pods app-node").stdout
    assert re.search(r"^Service Account: +default$", described, re.MULTILINE)
    assert re.search(rf"^Node: +[a-z]+-\d/{re.escape(terminal.network)}\.\d+$", described, re.MULTILINE)
    assert "Successfully assigned default/app-node to " in described
    assert "server is running at" in terminal.type("kctl logs app-node").stdout
    terminal.type("kctl delete -f assets/00001/00001.yml")
