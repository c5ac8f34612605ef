"""Who is cut off from whom, as the rules of each place."""

from __future__ import annotations

import re

import pytest

from kubelab.apimachinery.errors import ApiError, BadRequest, NotFound
from kubelab.topology.partitions import MARKING, NetworkPlace, Partition, Topology, check, same, scripts

PLANE, NODE, OTHER = (
    NetworkPlace(name, f"192.168.49.{n}", f"02:00:00:00:00:0{n}")
    for n, name in ((2, "cp-1"), (3, "node-1"), (4, "node-2"))
)
LOCAL = Topology(
    nodes={"cp-1": (PLANE,), "node-1": (NODE,), "node-2": (OTHER,)},
    processes={
        "etcd@cp-1": PLANE,
        "api-server@cp-1": PLANE,
        "scheduler@cp-1": PLANE,
        "kubelet@node-1": NODE,
        "kube-proxy@node-1": NODE,
        "runtime@node-1": NODE,
        "kubelet@node-2": OTHER,
        "kube-proxy@node-2": OTHER,
    },
)
ETCD, API = NetworkPlace("etcd", "192.168.49.10"), NetworkPlace("api-server", "192.168.49.11")
APART = Topology(  # the control plane's processes have places of their own
    nodes={"cp-1": (ETCD, API), "node-1": (NODE,)},
    processes={"etcd@cp-1": ETCD, "api-server@cp-1": API, "kubelet@node-1": NODE, "kube-proxy@node-1": NODE},
)
ETCD_PORTS, API_PORTS = "{ 2379, 2380 }", "{ 6443, 8443 }"


def rules(topology: Topology, *partitions: Partition) -> dict[str, list[str]]:
    """What each place drops, as ``chain: match``; places without rules are left out."""
    found: dict[str, list[str]] = {}
    for place, script in scripts(topology, partitions).items():
        chain = ""
        for line in script.splitlines():
            chain = line.split()[1] if line.startswith("\tchain") else chain
            if match := re.fullmatch(r'\t\t(.*) counter drop comment ".*"', line):
                found.setdefault(place, []).append(f"{chain}: {match[1]}")
    return found


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("node-1", "node-2", {"node-2": ["arriving: ether saddr { 02:00:00:00:00:03 }"]}),
        (
            "node-2",
            "kubelet@node-1",
            {
                "node-1": [
                    "input: ether saddr { 02:00:00:00:00:04 } tcp dport { 10250 }",
                    "input: ether saddr { 02:00:00:00:00:04 } ct mark 6105",
                ]
            },
        ),
        (
            "kubelet@node-1",
            "node-2",
            {
                "node-1": ["output: rt ip nexthop { 192.168.49.4 } ct mark 6105"],
                "node-2": ["arriving: ip saddr 192.168.49.3 tcp sport { 10250 }"],
            },
        ),
        (
            "kubelet@node-1",
            "api-server@cp-1",
            {
                "node-1": [f"output: ip daddr 192.168.49.2 tcp dport {API_PORTS} ct mark 6105"],
                "cp-1": ["input: ip saddr 192.168.49.3 tcp sport { 10250 } ct mark 6102"],
            },
        ),
        (
            "scheduler@cp-1",
            "api-server@cp-1",
            {
                "cp-1": [
                    f'input: iifname "lo" tcp dport {API_PORTS} ct mark 6103',
                    'input: iifname "lo" tcp sport { 10259 } ct mark 6102',
                ]
            },
        ),
        (
            "kubelet@node-1",
            "kubelet@node-2",
            {
                "node-1": ["output: ip daddr 192.168.49.4 tcp dport { 10250 } ct mark 6105"],
                "node-2": ["input: ip saddr 192.168.49.3 tcp sport { 10250 } ct mark 6105"],
            },
        ),
    ],
)
def test_what_is_dropped_where_and_the_other_way_is_the_mirror(
    source: str, target: str, expected: dict[str, list[str]]
) -> None:
    assert rules(LOCAL, Partition(source, target, one_way=True)) == expected
    both, back = rules(LOCAL, Partition(source, target)), rules(LOCAL, Partition(target, source, one_way=True))
    assert {place: sorted(lines) for place, lines in both.items()} == {
        place: sorted({*expected.get(place, []), *back.get(place, [])}) for place in {*expected, *back}
    }


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("etcd@cp-1", "api-server@cp-1", {"api-server": ["arriving: ip saddr { 192.168.49.10 }"]}),
        ("cp-1", "node-1", {"node-1": ["arriving: ip saddr { 192.168.49.10, 192.168.49.11 }"]}),
        (
            "node-1",
            "cp-1",
            {place: ["arriving: ether saddr { 02:00:00:00:00:03 }"] for place in ("etcd", "api-server")},
        ),
        (
            "kubelet@node-1",
            "api-server@cp-1",
            {
                "node-1": ["output: rt ip nexthop { 192.168.49.11 } ct mark 6105"],
                "api-server": ["arriving: ip saddr 192.168.49.3 tcp sport { 10250 }"],
            },
        ),
        (
            "api-server@cp-1",
            "kubelet@node-1",
            {
                "node-1": [
                    "input: ip saddr { 192.168.49.11 } tcp dport { 10250 }",
                    "input: ip saddr { 192.168.49.11 } ct mark 6105",
                ]
            },
        ),
    ],
)
def test_a_process_that_is_alone_in_its_place_is_the_place(
    source: str, target: str, expected: dict[str, list[str]]
) -> None:
    assert rules(APART, Partition(source, target, one_way=True)) == expected


def test_several_partitions_are_one_table_without_repetition() -> None:
    both = [Partition("node-1", "node-2"), Partition("node-1", "node-2", one_way=True)]
    assert rules(LOCAL, *both) == rules(LOCAL, both[0])


def test_every_rule_says_whose_it_is_and_counts() -> None:
    script = scripts(LOCAL, [Partition("etcd@cp-1", "api-server@cp-1")])["cp-1"]
    assert f'tcp dport {ETCD_PORTS} ct mark 6102 counter drop comment "api-server@cp-1 to etcd@cp-1"' in script


def test_without_partitions_no_table_is_left_anywhere() -> None:
    gone = "table inet kubelab-faults\ndelete table inet kubelab-faults\n"
    assert scripts(LOCAL, []) == dict.fromkeys(("cp-1", "node-1", "node-2"), gone)


def test_marks_tell_the_one_who_opened_a_connection() -> None:
    assert "{ 6101 : 6101, 6102 : 6102, 6103 : 6103, 6104 : 6104, 6105 : 6105, 6106 : 6106 }" in MARKING
    assert "tcp sport != { 2379, 2380, 6443, 8443, 10259, 10257, 10250, 10256 }" in MARKING


@pytest.mark.parametrize(
    ("source", "target", "kind", "says"),
    [
        ("node-9", "node-1", NotFound, 'node "node-9" not found'),
        ("node-1", "scheduler@node-1", NotFound, 'process "scheduler@node-1" not found'),
        ("supervisor", "node-1", NotFound, 'node "supervisor" not found'),
        ("node-1", "node-1", BadRequest, "node-1 cannot be cut off from itself"),
        ("etcd@cp-1", "etcd@cp-1", BadRequest, "etcd@cp-1 cannot be cut off from itself"),
        (
            "node-1",
            "kubelet@node-1",
            BadRequest,
            "kubelet@node-1 is a part of node-1: name two nodes, or two processes",
        ),
        (
            "kubelet@node-1",
            "runtime@node-1",
            BadRequest,
            "runtime@node-1 is reached over a unix socket, which no packet crosses; "
            "to cut it off, freeze it: kubelab fault pause runtime@node-1",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(source: str, target: str, kind: type[ApiError], says: str) -> None:
    with pytest.raises(kind) as caught:
        check(LOCAL, Partition(source, target))
    assert caught.value.message == says


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Partition("x", "y"), Partition("y", "x"), True),
        (Partition("x", "y"), Partition("x", "y", one_way=True), False),
        (Partition("x", "y", one_way=True), Partition("y", "x", one_way=True), False),
    ],
)
def test_sides_have_an_order_only_where_one_way_is_cut(a: Partition, b: Partition, expected: bool) -> None:
    assert same(a, b) is expected
