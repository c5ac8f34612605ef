"""The chapter on pod networking: an address for each pod, across nodes without translation, and service addresses."""

from __future__ import annotations

import json
import re

from tests.e2e.terminal import OWN_FILES, Terminal, eventually


def talk(terminal: Terminal, node: str, address: str) -> str:
    """Ask from inside a node, on a connection of its own."""
    program = f"import urllib.request as r; print(r.urlopen('http://{address}', timeout=5).read().decode())"
    return terminal.type(f'kubelab shell {node} -- python3 -c "{program}"', code=None).stdout


def test_every_pod_has_an_address_that_all_nodes_reach(terminal: Terminal) -> None:
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type(f"kctl create -f {OWN_FILES}/00002/00001.yml")
    terminal.running("app=replicas", 3)
    wide = terminal.type("kctl get pods -l app=replicas -o wide").rows
    assert wide[0][5:7] == ["IP", "NODE"]
    addresses = {row[0]: row[5] for row in wide[1:]}
    nodes = {row[0]: row[6] for row in wide[1:]}
    assert len(set(addresses.values())) == 3
    assert len(set(nodes.values())) == 3, "spread over the nodes"
    for pod, address in addresses.items():
        assert re.fullmatch(r"10\.244\.\d+\.\d+", address)
        for node in terminal.roles:
            assert json.loads(talk(terminal, node, f"{address}:8080"))["data"].endswith(f" {pod}")


def test_a_service_address_is_translated_on_every_node_in_turn(terminal: Terminal) -> None:
    service = terminal.type("kctl get service replicas-service --no-headers").rows[0][2]
    eventually(lambda: talk(terminal, "node-1", f"{service}:8080"))
    for node in terminal.roles:
        answers = [json.loads(talk(terminal, node, f"{service}:8080"))["data"].split()[-1] for _ in range(6)]
        assert set(answers[:3]) == {"proceed-1", "proceed-2", "proceed-3"}
        assert answers[:3] == answers[3:], "in turn"


def test_a_service_without_endpoints_refuses_at_once(terminal: Terminal) -> None:
    terminal.type(f"kctl create -f {OWN_FILES}/00001/00004.yml")
    address = terminal.type("kctl get service app-service --no-headers").rows[0][2]
    described = terminal.type("kctl describe service app-service").stdout
    assert re.search(r"Endpoints: +(<none>)?\n", described)
    eventually(lambda: connecting(terminal, "node-2", address) == "ConnectionRefusedError", what="a refusal")


CONNECT = """
import socket
try:
    socket.create_connection(("{address}", 8080), timeout=5)
    print("connected")
except OSError as err:
    print(type(err).__name__)
"""


def connecting(terminal: Terminal, node: str, address: str) -> str:
    """How an attempt to connect from inside a node ends: "connected", or the error's name."""
    return terminal.type(f"kubelab shell {node} -- python3 -", stdin=CONNECT.format(address=address)).stdout.strip()
