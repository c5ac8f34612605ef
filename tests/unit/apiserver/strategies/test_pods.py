"""Pods, but for their containers."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import Forbidden
from tests.unit.apiserver.strategies.answers import (
    GONE,
    LABEL,
    LABEL_VALUE,
    NOT_IP,
    QUALIFIED,
    RULES,
    SUBDOMAIN,
    Change,
    changed,
    on_create,
    on_status,
    on_update,
    stored,
    table,
)

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
  - {name: web, image: "nginx:1"}
"""
COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATION = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}
MAY_CHANGE = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


@table(
    ({},),
    ({"metadata.name": "Web"}, f'metadata.name: Invalid value: "Web": {SUBDOMAIN}'),
    ({f"metadata.annotations[{COST}]": "-10"},),
    *(
        (
            {f"metadata.annotations[{COST}]": cost},
            f'metadata.annotations[{COST}]: Invalid value: "{cost}": must be a 32bit integer',
        )
        for cost in ("", "+1", "007", "1.5", "2147483648")
    ),
    ({"spec.containers": []}, "spec.containers: Required value"),
    ({"spec": {}}, "spec.containers: Required value"),
    (
        {"spec.restartPolicy": "Sometimes"},
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ),
    (
        {"spec.dnsPolicy": "Mine"},
        'spec.dnsPolicy: Unsupported value: "Mine": supported values: "ClusterFirstWithHostNet", "ClusterFirst", '
        '"Default", "None"',
    ),
    (
        {"spec.dnsPolicy": "None"},
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    ),
    ({"spec.nodeSelector[a b]": "c"}, f'spec.nodeSelector: Invalid value: "a b": {QUALIFIED}'),
    ({"spec.nodeSelector[disk]": "s s d"}, f'spec.nodeSelector: Invalid value: "s s d": {LABEL_VALUE}'),
    (
        {"spec.securityContext.runAsUser": -1},
        "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    (
        {"spec.securityContext.runAsGroup": 2**31},
        "spec.securityContext.runAsGroup: Invalid value: 2147483648: must be between 0 and 2147483647, inclusive",
    ),
    ({"spec.nodeName": "node_1"}, f'spec.nodeName: Invalid value: "node_1": {SUBDOMAIN}'),
    ({"spec.activeDeadlineSeconds": 1},),
    (
        {"spec.activeDeadlineSeconds": 0},
        "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
    ),
    (
        {"spec.activeDeadlineSeconds": 2**31},
        "spec.activeDeadlineSeconds: Invalid value: 2147483648: must be between 1 and 2147483647, inclusive",
    ),
    ({"spec.hostname": "a.b"}, f'spec.hostname: Invalid value: "a.b": {LABEL}'),
    (
        {"spec.subdomain": "a" * 64},
        f'spec.subdomain: Invalid value: "{"a" * 64}": must be no more than 63 characters',
    ),
    ({"spec.priorityClassName": "system-node-critical"},),
    ({"spec.priority": 0},),
    (
        {
            "spec.containers[0].image": "",
            "spec.restartPolicy": "No",
            "spec.hostname": "A",
            "spec.tolerations[0]": {"operator": "In"},
            "spec.nodeName": "A",
        },
        "spec.containers[0].image: Required value",
        'spec.restartPolicy: Unsupported value: "No": supported values: "Always", "OnFailure", "Never"',
        f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}',
        f'spec.hostname: Invalid value: "A": {LABEL}',
        'spec.tolerations[0].operator: Invalid value: "In": operator must be Exists when `key` is empty, which means '
        '"match all values and all keys"',
        'spec.tolerations[0].operator: Unsupported value: "In": supported values: "Equal", "Exists"',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    (TOLERATION,),
    ({"operator": "Exists"},),
    ({"key": "a b"}, f'key: Invalid value: "a b": {QUALIFIED}'),
    (
        {"key": "", "value": "b"},
        'operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and '
        'all keys"',
    ),
    (
        {**TOLERATION, "effect": "NoSchedule", "tolerationSeconds": 5},
        "effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    ),
    (
        {"key": "a", "value": "!" * 64},
        f'operator: Invalid value: "{"!" * 64}": must be no more than 63 characters;{LABEL_VALUE}',
    ),
    (
        {"key": "a", "operator": "Exists", "value": "b"},
        'operator: Invalid value: core.Toleration{Key:"a", Operator:"Exists", Value:"b", Effect:"", '
        "TolerationSeconds:(*int64)(nil)}: value must be empty when `operator` is 'Exists'",
    ),
    (
        {"key": "a", "operator": "Gt"},
        'operator: Unsupported value: "Gt": supported values: "Equal", "Exists"',
    ),
    (
        {"key": "a", "effect": "Evict"},
        'effect: Unsupported value: "Evict": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ),
)
def test_tolerations(change: Change, told: list[str]) -> None:
    said = on_create(MANIFEST, {"spec.tolerations[0]": change})
    assert said == [f"spec.tolerations[0].{one}" for one in told]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spec.priorityClassName": "high"}, "no PriorityClass with name high was found"),
        (
            {"spec.priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller "
            "computed "
            "0 from the given PriorityClass name",
        ),
        (
            {"spec.priorityClassName": "system-cluster-critical", "spec.priority": 1},
            "the integer value of priority (1) must not be provided in pod spec; priority admission controller "
            "computed "
            "2000000000 from the given PriorityClass name",
        ),
    ],
)
def test_a_priority_that_it_has_not(change: Change, told: str) -> None:
    forbidden(change, told)


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_a_service_account_that_is_not_there(field: str) -> None:
    told = 'error looking up service account default/nobody-has-it: serviceaccount "nobody-has-it" not found'
    forbidden({f"spec.{field}": "nobody-has-it"}, told)
    assert stored(MANIFEST, {f"spec.{field}": "default"}).spec.serviceAccountName == "default"


def forbidden(change: Change, told: str) -> None:
    with pytest.raises(Forbidden) as caught:
        on_create(MANIFEST, {**change, "spec.hostname": "A"})
    assert caught.value.message == f'pods "web" is forbidden: {told}'


@table(
    ({},),
    ({"metadata.labels[a]": "b"},),
    ({"spec.containers[0].image": "nginx:2"},),
    ({"spec.containers[0].image": ""}, "spec.containers[0].image: Required value"),
    (
        {"spec.containers[0].image": " x"},
        'spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace',
    ),
    (
        {"spec.containers[1]": {"name": "more", "image": "x"}},
        "spec.containers: Forbidden: pod updates may not add or remove containers",
    ),
    ({"spec.activeDeadlineSeconds": 5},),
    (
        {"spec.activeDeadlineSeconds": -1},
        "spec.activeDeadlineSeconds: Invalid value: -1: must be between 1 and 2147483647, inclusive",
        "spec.activeDeadlineSeconds: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    ({"spec.tolerations[0]": TOLERATION},),
    (
        {"spec.hostname": "a", "spec.terminationGracePeriodSeconds": 5},
        f"{MAY_CHANGE}  PodSpec{{\n  - terminationGracePeriodSeconds: 30\n  + terminationGracePeriodSeconds: 5\n"
        '  - hostname: ""\n  + hostname: "a"\n  }\n',
    ),
    (
        {"spec.containers[0].ports[0].containerPort": 80, "spec.containers[0].name": "other"},
        f'{MAY_CHANGE}  PodSpec{{\n  - containers[0].name: "web"\n  + containers[0].name: "other"\n'
        '  + containers[0].ports[0]: {containerPort: 80 protocol: "TCP"}\n  }\n',
    ),
    ({"spec.nodeSelector[a]": "b"}, f'{MAY_CHANGE}  PodSpec{{\n  + nodeSelector[a]: "b"\n  }}\n'),
    (
        {"metadata.name": "other", "spec.nodeName": "A"},
        'metadata.name: Invalid value: "other": field is immutable',
        f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}',
        f'{MAY_CHANGE}  PodSpec{{\n  - nodeName: ""\n  + nodeName: "A"\n  }}\n',
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


BEFORE = {
    "spec.activeDeadlineSeconds": 10,
    "spec.tolerations[0]": TOLERATION,
    "spec.priorityClassName": "system-node-critical",
}


@table(
    ({},),
    ({"spec.activeDeadlineSeconds": 9},),
    (
        {"spec.activeDeadlineSeconds": 11},
        "spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value",
    ),
    (
        {"spec.activeDeadlineSeconds": GONE},
        'spec.activeDeadlineSeconds: Invalid value: "null": must not update from a positive integer to nil value',
    ),
    ({"spec.tolerations[0].tolerationSeconds": 7},),
    (
        {"spec.tolerations[0].value": "c"},
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ),
    (
        {"spec.tolerations": []},
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ),
)
def test_changes_of_what_can_change(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change, BEFORE) == told


@table(
    ({"status.phase": "Running", "status.podIP": "10.244.0.2", "status.podIPs[0].ip": "10.244.0.2"},),
    ({"status.conditions[0].type": "Ready", "status.conditions[1].type": "example.com/Fine"},),
    ({"status.conditions[0].type": "a b"}, f'metadata.conditions[0].Type: Invalid value: "a b": {QUALIFIED}'),
    ({"status.nominatedNodeName": "A"}, f'status.nominatedNodeName: Invalid value: "A": {SUBDOMAIN}'),
    ({"status.qosClass": "Guaranteed"}, 'status.qosClass: Invalid value: "Guaranteed": field is immutable'),
    ({"status.podIPs[0].ip": "10.244.0.300"}, f'status.podIPs[0]: Invalid value: "10.244.0.300": {NOT_IP}'),
    (
        {"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
        'status.podIPs: Invalid value: []core.PodIP{core.PodIP{IP:"10.0.0.1"}, core.PodIP{IP:"10.0.0.1"}}: '
        "may specify no more than one IP for each IP family",
        'status.podIPs[1]: Duplicate value: core.PodIP{IP:"10.0.0.1"}',
    ),
    ({"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},),
    ({"status.podIP": "here"}, f'status.podIPs[0]: Invalid value: "here": {NOT_IP}'),
    ({"status.podIP": "", "status.podIPs[0].ip": ""}, f'status.podIPs[0]: Invalid value: "": {NOT_IP}'),
    ({"status.hostIP": "here"}, f'status.hostIP: Invalid value: "here": {NOT_IP}'),
    (
        {"status.hostIP": "10.0.0.1", "status.hostIPs[0].ip": "10.0.0.2"},
        'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`',
    ),
    (
        {"status.hostIP": "x", "status.hostIPs[0].ip": "x"},
        f'status.hostIPs[0]: Invalid value: "x": {NOT_IP}',
    ),
    (
        {"status.hostIP": "10.0.0.1", "status.hostIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
        'status.hostIPs[1]: Duplicate value: core.HostIP{IP:"10.0.0.1"}',
        'status.hostIPs: Invalid value: []core.HostIP{core.HostIP{IP:"10.0.0.1"}, core.HostIP{IP:"10.0.0.1"}}: '
        "may specify no more than one IP for each IP family",
    ),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(MANIFEST, change) == told


@pytest.mark.parametrize(
    ("change", "ip", "ips"),
    [
        ({"status.podIP": "10.0.0.1"}, "10.0.0.1", ["10.0.0.1"]),
        ({"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, "10.0.0.1", ["10.0.0.1", "fd00::1"]),
        ({"status.podIP": "10.0.0.2", "status.podIPs": [{"ip": "10.0.0.1"}]}, "10.0.0.2", ["10.0.0.2"]),
        ({"status.phase": "Running"}, "", []),
    ],
)
def test_both_fields_name_the_same_address(change: Change, ip: str, ips: list[str]) -> None:
    old, new = stored(MANIFEST), changed(MANIFEST, change)[0]
    RULES["pods"].prepare_for_status_update(new, old)
    assert isinstance(new, core_pb2.Pod)
    assert (new.status.podIP, [one.ip for one in new.status.podIPs]) == (ip, ips)


@pytest.mark.parametrize(
    ("change", "asked", "seconds"),
    [
        ({}, None, 0),  # no kubelet has it
        ({"spec.nodeName": "node-1"}, None, 30),
        ({"spec.nodeName": "node-1", "spec.terminationGracePeriodSeconds": 5}, None, 5),
        ({"spec.nodeName": "node-1"}, 7, 7),
        ({"spec.nodeName": "node-1"}, 0, 0),
        ({"spec.nodeName": "node-1"}, -1, 1),
        ({"spec.nodeName": "node-1"}, 2**63 - 1, 2**31 - 1),
        ({"spec.nodeName": "node-1", "spec.terminationGracePeriodSeconds": 2**63 - 1}, None, 2**31 - 1),
    ],
)
def test_how_long_it_may_take_to_go(change: Change, asked: int | None, seconds: int) -> None:
    options = meta_pb2.DeleteOptions(gracePeriodSeconds=asked)
    assert RULES["pods"].graceful_delete_seconds(stored(MANIFEST, change), options) == seconds


def test_a_pod_that_has_ended_goes_at_once() -> None:
    pod = stored(MANIFEST, {"spec.nodeName": "node-1"})
    pod.status.phase = "Succeeded"
    assert RULES["pods"].graceful_delete_seconds(pod, meta_pb2.DeleteOptions()) == 0


def test_what_field_selectors_can_ask_for() -> None:
    fields = RULES["pods"].selectable_fields(stored(MANIFEST, {"spec.nodeName": "node-1"}))
    assert fields == {
        "metadata.name": "web",
        "metadata.namespace": "default",
        "spec.nodeName": "node-1",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "default-scheduler",
        "spec.serviceAccountName": "default",
        "spec.hostNetwork": "false",
        "status.phase": "Pending",
        "status.podIP": "",
        "status.nominatedNodeName": "",
    }


def test_a_class_of_priority_that_is_no_name() -> None:
    told = on_update(MANIFEST, {"spec.priorityClassName": "High"})
    assert told[0] == f'spec.priorityClassName: Invalid value: "High": {SUBDOMAIN}'


def test_a_grace_of_old_may_become_a_second() -> None:
    """Other api-servers store a negative one as it came."""
    old = stored(MANIFEST)
    old.spec.terminationGracePeriodSeconds = -5
    assert RULES["pods"].validate_update(stored(MANIFEST, {"spec.terminationGracePeriodSeconds": 1}), old) == []
