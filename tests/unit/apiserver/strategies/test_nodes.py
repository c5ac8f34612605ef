"""Nodes: taints, addresses for pods, amounts."""

from __future__ import annotations

from kubelab.apimachinery import quantity
from tests.unit.apiserver.strategies.answers import (
    GONE,
    LABEL_VALUE,
    NEGATIVE,
    NOT_IP,
    PORT,
    QUALIFIED,
    RULES,
    SUBDOMAIN,
    Change,
    on_create,
    on_status,
    on_update,
    stored,
    table,
)

MANIFEST = """
apiVersion: v1
kind: Node
metadata: {name: node-1}
"""
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
NOT_SUPPORTED = 'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
TAINT = {"key": "a", "value": "b", "effect": "NoExecute"}


@table(
    ({},),
    ({"metadata.name": "Node_1"}, f'metadata.name: Invalid value: "Node_1": {SUBDOMAIN}'),
    ({"spec.taints": [TAINT, {**TAINT, "effect": "NoSchedule"}]},),
    (
        {"spec.taints[0]": {"effect": "NoExecute"}},
        'metadata.taints[0].key: Invalid value: "": name part must be non-empty',
        f'metadata.taints[0].key: Invalid value: "": {QUALIFIED}',
    ),
    ({"spec.taints[0]": {**TAINT, "key": "a b"}}, f'metadata.taints[0].key: Invalid value: "a b": {QUALIFIED}'),
    (
        {"spec.taints[0]": {**TAINT, "value": "!" * 64}},
        f'metadata.taints[0].value: Invalid value: "{"!" * 64}": must be no more than 63 characters;{LABEL_VALUE}',
    ),
    ({"spec.taints[0]": {"key": "a"}}, "metadata.taints[0].effect: Required value"),
    (
        {"spec.taints[0]": {**TAINT, "effect": "Evict"}},
        f'metadata.taints[0].effect: Unsupported value: "Evict": {NOT_SUPPORTED}',
    ),
    (
        {"spec.taints": [TAINT, {**TAINT, "value": "c"}]},
        'metadata.taints[1]: Duplicate value: core.Taint{Key:"a", Value:"c", Effect:"NoExecute", '
        "TimeAdded:<nil>}: taints "
        "must be unique by key and effect pair",
    ),
    ({"status.capacity": {"cpu": "4", "pods": "110", "memory": "8Gi"}},),
    (
        {"status.capacity.cpu": "-1", "status.allocatable.cpu": "1"},
        f'status.capacity.cpu: Invalid value: "-1": {NEGATIVE}',
    ),
    (
        {"status.capacity.pods": "1500m"},
        "status.capacity.pods: Invalid value: 1500m: must be an integer",
        "status.allocatable.pods: Invalid value: 1500m: must be an integer",
    ),
    ({"spec.podCIDR": "10.244.1.0/24"},),
    ({"spec.podCIDR": "10.244.1.0"}, f'spec.podCIDRs[0]: Invalid value: "10.244.1.0": {CIDR}'),
    (
        {"spec.podCIDR": "10.244.1.0/255.255.255.0"},
        f'spec.podCIDRs[0]: Invalid value: "10.244.1.0/255.255.255.0": {CIDR}',
    ),
    ({"spec.podCIDR": "all"}, f'spec.podCIDRs[0]: Invalid value: "all": {CIDR}'),
    ({"spec.podCIDR": "10.244.1.0/٢٤"}, f'spec.podCIDRs[0]: Invalid value: "10.244.1.0/٢٤": {CIDR}'),
    (
        {"spec.podCIDR": "10.244.1.7/24"},
        'spec.podCIDRs[0]: Invalid value: "10.244.1.7/24": must not have bits set beyond the prefix length',
    ),
    (
        {"spec.podCIDR": "fd00::/64"},
        'spec.podCIDRs[0]: Invalid value: "fd00::/64": must be an IPv4 CIDR: pods of kubelab have IPv4 addresses',
    ),
    (
        {"spec.podCIDRs": ["fd00::/64", "10.244.1.0/24"]},
        'spec.podCIDRs[0]: Invalid value: "fd00::/64": must be an IPv4 CIDR: pods of kubelab have IPv4 addresses',
    ),
    ({"spec.podCIDRs": ["10.244.1.0/24", "fd00::/64"]},),
    (
        {"status.addresses[0]": {"type": "InternalIP", "address": "everywhere"}},
        f'status.addresses[0].address: Invalid value: "everywhere": {NOT_IP}',
    ),
    (
        {"spec.podCIDRs": ["10.244.1.0/24", "10.244.1.0/24"]},
        'spec.podCIDRs: Invalid value: []string{"10.244.1.0/24", "10.244.1.0/24"}: may specify no more than one '
        "CIDR for "
        "each IP family",
        'spec.podCIDRs[1]: Duplicate value: "10.244.1.0/24"',
    ),
    (
        {
            "metadata.name": "A",
            "spec.taints[0].key": "a",
            "status.capacity.cpu": "-1",
            "status.allocatable.cpu": "1",
            "spec.podCIDR": "x",
        },
        f'metadata.name: Invalid value: "A": {SUBDOMAIN}',
        "metadata.taints[0].effect: Required value",
        f'status.capacity.cpu: Invalid value: "-1": {NEGATIVE}',
        f'spec.podCIDRs[0]: Invalid value: "x": {CIDR}',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


BEFORE = {"spec.podCIDR": "10.244.1.0/24", "spec.providerID": "kubelab://node-1", "spec.taints[0]": TAINT}
ADDRESSES = {"status.addresses": [{"type": "InternalIP", "address": "10.0.0.1"}] * 2}
TWICE = 'status.addresses[1]: Duplicate value: core.NodeAddress{Type:"InternalIP", Address:"10.0.0.1"}'


@table(
    ({},),
    ({"spec.unschedulable": True, "spec.taints": [], "metadata.labels[a]": "b"},),
    ({"metadata.name": "node-2"}, 'metadata.name: Invalid value: "node-2": field is immutable'),
    (
        {"spec.podCIDR": "10.244.2.0/24"},
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
    ),
    ({"spec.podCIDR": GONE}, 'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'),
    (
        {"spec.providerID": "other"},
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ),
    (
        {"spec.taints[0].effect": "X", "spec.providerID": "other"},
        f'metadata.taints[0].effect: Unsupported value: "X": {NOT_SUPPORTED}',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change, BEFORE) == told


def test_what_was_open_may_be_said() -> None:
    assert on_update(MANIFEST, BEFORE) == []


@table(
    ({"status.capacity.cpu": "4", "status.conditions[0]": {"type": "Ready", "status": "True"}},),
    (ADDRESSES, TWICE),
    (
        {"status.addresses": [{"type": "Hostname", "address": "a"}, {"type": "ExternalIP", "address": "a"}]},
        f'status.addresses[1].address: Invalid value: "a": {NOT_IP}',
    ),
    (
        {"status.daemonEndpoints.kubeletEndpoint.Port": 65536},
        f"status.daemonEndpoints.kubeletEndpoint.Port: Invalid value: 65536: {PORT}",
    ),
    (
        {"status.capacity.cpu": "9" * 257, "status.allocatable.cpu": "1"},
        f'status.capacity.cpu: Invalid value: "{"9" * 257}": {quantity.NUMERIC_MESSAGE}',
    ),
    (
        {**ADDRESSES, "status.capacity.cpu": "-4"},
        f'status.capacity.cpu: Invalid value: "-4": {NEGATIVE}',
        f'status.allocatable.cpu: Invalid value: "-4": {NEGATIVE}',
        TWICE,
    ),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(MANIFEST, change) == told


def test_a_new_node_says_its_status_itself() -> None:
    assert stored(MANIFEST, ADDRESSES).status.addresses[1].address == "10.0.0.1"
    assert on_create(MANIFEST, ADDRESSES) == []


def test_what_field_selectors_can_ask_for() -> None:
    node = stored(MANIFEST, {"spec.unschedulable": True})
    assert RULES["nodes"].selectable_fields(node) == {"metadata.name": "node-1", "spec.unschedulable": "true"}
