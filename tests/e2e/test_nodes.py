"""The chapter on nodes. What happens when a control plane fails is in test_ha."""

from __future__ import annotations

import re

from tests.e2e.terminal import Terminal

STATUSES = [["controller-manager", "Healthy"], ["scheduler", "Healthy"], ["etcd-0", "Healthy"]]


def test_get_node_lists_them_with_their_roles(terminal: Terminal) -> None:
    for word in ("node", "nodes", "no"):
        nodes = terminal.type(f"kctl get {word}")
        assert nodes.rows[0] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
        assert [row[:3] for row in nodes.rows[1:]] == [[name, "Ready", role] for name, role in terminal.roles.items()]
        for row in nodes.rows[1:]:
            assert re.fullmatch(r"\d+(s|m|m\d+s)", row[3])
            assert row[4].startswith("v1.32.0")
    first = next(iter(terminal.roles))
    one = terminal.type(f"kctl get node {first}")
    assert [row[0] for row in one.rows] == ["NAME", first]


def test_describe_node_says_what_it_is_and_has(terminal: Terminal) -> None:
    for name, role in terminal.roles.items():
        described = terminal.type(f"kctl describe node {name}").stdout
        assert re.match(rf"Name: +{name}\nRoles: +{role}\nLabels: +beta\.kubernetes\.io/arch=", described)
        for line in (
            rf"  InternalIP: +{re.escape(terminal.network)}\.\d+",
            rf"  Hostname: +{name}",
            r"  Ready +True .*KubeletReady",
            r"PodCIDR: +10\.244\.\d+\.0/24",
            r"Non-terminated Pods: +\(\d+ in total\)",
        ):
            assert re.search(f"^{line}", described, re.MULTILINE), (line, described)


def test_a_node_that_is_not_there(terminal: Terminal) -> None:
    for command in ("get node minikube", "describe node minikube"):
        missing = terminal.type(f"kctl {command}", code=1)
        assert missing.stderr == 'Error from server (NotFound): nodes "minikube" not found\n'


def test_cluster_info_names_the_control_plane(terminal: Terminal) -> None:
    info = terminal.type("kctl cluster-info").stdout
    assert re.match(r"Kubernetes control plane is running at https://127\.0\.0\.1:\d+\n", info)
    assert "To further debug and diagnose cluster problems, use 'kctl cluster-info dump'." in info
    dump = terminal.type("kctl cluster-info dump").stdout
    assert '"kind": "Node"' in dump
    assert all(f'"name": "{name}"' in dump for name in terminal.roles)


def test_component_statuses(terminal: Terminal) -> None:
    for word in ("cs", "componentstatuses"):
        told = terminal.type(f"kctl get {word}")
        assert told.stderr == "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
        assert [row[:2] for row in told.rows] == [["NAME", "STATUS"], *STATUSES]
