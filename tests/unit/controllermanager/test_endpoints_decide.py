"""What the endpoints controller decides: tables over pure functions."""

from __future__ import annotations

from typing import Any

from kubelab.api.core.v1 import core_pb2
from kubelab.controllermanager.endpoints.decide import MAX_ADDRESSES, desired, subsets
from tests.support import objects as make


def behind(name: str, ip: str, *, ready: bool = True, **options: Any) -> core_pb2.Pod:
    defaults: dict[str, Any] = {"labels": {"app": "web"}, "phase": "Running", "node": "n"}
    pod = make.pod(name, ip=ip, ready=ready, **(defaults | options))
    pod.spec.containers[0].ports.add(name="http", containerPort=8080)
    return pod


def test_subsets_are_sorted_and_tell_ready_from_not_ready() -> None:
    pods = [
        behind("c", "10.244.1.10"),
        behind("b", "10.244.1.9"),
        behind("a", "10.244.0.2", ready=False),
        behind("no address", ""),
        behind("ended", "10.244.0.3", phase="Succeeded"),
        behind("leaving", "10.244.0.4", deleting=True),
    ]
    (subset,) = subsets(make.service("web"), pods)
    assert [a.ip for a in subset.addresses] == ["10.244.1.9", "10.244.1.10"]
    assert [a.ip for a in subset.notReadyAddresses] == ["10.244.0.2"]
    assert [(p.name, p.port, p.protocol) for p in subset.ports] == [("", 8080, "TCP")]
    assert subsets(make.service("web"), pods[::-1]) == [subset]
    target = subset.addresses[0].targetRef
    assert (target.kind, target.namespace, target.name, target.uid) == ("Pod", "default", "b", "uid-of-b")
    assert subset.addresses[0].nodeName == "n"


def test_named_target_ports_may_differ_between_pods() -> None:
    other = behind("b", "10.244.0.2")
    other.spec.containers[0].ports[0].containerPort = 9090
    without = behind("c", "10.244.0.3")
    del without.spec.containers[0].ports[:]
    packed = subsets(make.service("web", target="http"), [behind("a", "10.244.0.1"), other, without])
    assert [([a.ip for a in s.addresses], [p.port for p in s.ports]) for s in packed] == [
        (["10.244.0.1"], [8080]),
        (["10.244.0.2"], [9090]),
    ]


def test_not_ready_addresses_may_be_published_and_headless_services_labelled() -> None:
    service = make.service("web", headless=True)
    service.spec.publishNotReadyAddresses = True
    wanted = desired(service, [behind("a", "10.244.0.1", ready=False, deleting=True)], None)
    assert wanted is not None
    assert [a.ip for a in wanted.subsets[0].addresses] == ["10.244.0.1"]
    assert "service.kubernetes.io/headless" in wanted.metadata.labels
    assert desired(service, [behind("a", "10.244.0.1", ready=False, deleting=True)], wanted) is None


def test_no_more_than_a_thousand_addresses() -> None:
    pods = [behind(f"p{n}", f"10.244.{n // 250}.{n % 250 + 1}", ready=n % 2 == 0) for n in range(1200)]
    wanted = desired(make.service("web"), pods, None)
    assert wanted is not None
    assert wanted.metadata.annotations["endpoints.kubernetes.io/over-capacity"] == "truncated"
    (subset,) = wanted.subsets
    assert (len(subset.addresses), len(subset.notReadyAddresses)) == (600, MAX_ADDRESSES - 600)
