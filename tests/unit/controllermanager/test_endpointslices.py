"""Endpoint slices: how they are packed, and the two controllers over an api-server in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from kubelab.controllermanager.endpointslice import packing
from kubelab.controllermanager.endpointslice.packing import Group
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.unit.controllermanager.conftest import Run

GROUP = Group("IPv4", (("http", 80, "TCP", ""),))
LABELS = {"a": "b"}


def endpoint(key: int, ready: bool = True) -> discovery_pb2.Endpoint:
    made = discovery_pb2.Endpoint(addresses=[f"10.244.{key // 250}.{key % 250}"])
    made.targetRef.uid = str(key)
    made.conditions.ready = ready
    return made


def carried_out(
    existing: Sequence[discovery_pb2.EndpointSlice], plan: packing.Plan
) -> list[discovery_pb2.EndpointSlice]:
    """What there is after a plan."""
    slices = {one.metadata.name: one for one in existing}
    for one in plan.delete:
        del slices[one.metadata.name]
    slices.update({one.metadata.name: one for one in plan.update})
    for number, one in enumerate(plan.create):
        one.metadata.name = f"new-{len(slices)}-{number}"
        one.metadata.labels.update(LABELS)
        slices[one.metadata.name] = one
    return list(slices.values())


@given(st.lists(st.dictionaries(st.integers(0, 400), st.booleans(), max_size=330), min_size=1, max_size=5))
def test_slices_always_hold_what_they_should(steps: list[dict[int, bool]]) -> None:
    slices: list[discovery_pb2.EndpointSlice] = []
    for step in steps:
        wanted = {str(key): endpoint(key, ready) for key, ready in step.items()}
        before = {one.metadata.name: one.SerializeToString() for one in slices}
        plan = packing.plan({GROUP: wanted} if wanted else {}, slices, LABELS, packing.Group("IPv4", ()))
        assert all(before[one.metadata.name] != one.SerializeToString() for one in plan.update), "nothing in vain"
        slices = carried_out(slices, plan)
        held = [one for slice_ in slices for one in slice_.endpoints]
        assert len(held) == len(wanted)
        assert {packing.key_of_endpoint(one): one for one in held} == wanted
        assert all(len(slice_.endpoints) <= 100 for slice_ in slices)
        assert slices, "an empty slice stays"
        assert sum(not slice_.endpoints for slice_ in slices) == (not wanted)
        again = packing.plan({GROUP: wanted} if wanted else {}, slices, LABELS, packing.Group("IPv4", ()))
        assert again == packing.Plan([], [], [])


def test_one_change_is_one_slice() -> None:
    first = packing.plan({GROUP: {str(n): endpoint(n) for n in range(250)}}, [], LABELS)
    slices = carried_out([], first)
    assert [len(one.endpoints) for one in slices] == [100, 100, 50]
    changed = {str(n): endpoint(n, n != 130) for n in range(251)}
    plan = packing.plan({GROUP: changed}, slices, LABELS)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 2, 0)  # the 131st, and the one that came


def slices_of(server: ApiServerInMemory, service: str) -> list[discovery_pb2.EndpointSlice]:
    return [
        one for one in server.objects(ENDPOINT_SLICES) if one.metadata.labels["kubernetes.io/service-name"] == service
    ]


def conditions(server: ApiServerInMemory, service: str) -> Mapping[str, tuple[bool, bool, bool]]:
    return {
        one.addresses[0]: (one.conditions.ready, one.conditions.serving, one.conditions.terminating)
        for slice_ in slices_of(server, service)
        for one in slice_.endpoints
    }


async def test_slices_follow_the_pods(running: Run) -> None:
    server = ApiServerInMemory()
    node = make.node("n1")
    node.metadata.labels["topology.kubernetes.io/zone"] = "z1"
    service = make.service("web")
    service.metadata.labels["team"] = "a"
    server.add(node, service)
    server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running", node="n1"))
    async with running(server, "endpointslice"):
        await server.until(lambda: conditions(server, "web") == {"10.244.0.1": (True, True, False)})
        (slice_,) = slices_of(server, "web")
        assert slice_.metadata.name.startswith("web-")
        assert dict(slice_.metadata.labels) == {
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "team": "a",
        }
        assert slice_.metadata.ownerReferences[0].kind == "Service"
        assert (slice_.endpoints[0].nodeName, slice_.endpoints[0].zone) == ("n1", "z1")
        assert slice_.endpoints[0].targetRef.name == "a"
        server.add(make.pod("b", labels={"app": "web"}, ip="10.244.0.2", ready=False, phase="Running"))
        server.add(
            make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running", node="n1", deleting=True)
        )
        await server.until(
            lambda: (
                conditions(server, "web") == {"10.244.0.1": (False, True, True), "10.244.0.2": (False, False, False)}
            )
        )
        server.remove(PODS, "default/a")
        server.remove(PODS, "default/b")
        await server.until(lambda: conditions(server, "web") == {})
        assert len(slices_of(server, "web")) == 1  # of a service without pods
        server.remove(ENDPOINT_SLICES, f"default/{slices_of(server, 'web')[0].metadata.name}")
        await server.until(lambda: len(slices_of(server, "web")) == 1)


async def test_endpoints_of_people_are_mirrored(running: Run) -> None:
    server = ApiServerInMemory()
    endpoints = core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual", labels={"x": "y"}))
    subset = endpoints.subsets.add()
    subset.addresses.add(ip="192.0.2.1")
    subset.notReadyAddresses.add(ip="192.0.2.2")
    subset.ports.add(name="http", port=80)
    server.add(endpoints, make.service("manual", selector={}))
    async with running(server, "endpointslicemirroring", "endpoints"):
        await server.until(lambda: len(conditions(server, "manual")) == 2)
        assert {ip: ready for ip, (ready, _, _) in conditions(server, "manual").items()} == {
            "192.0.2.1": True,
            "192.0.2.2": False,
        }
        (slice_,) = slices_of(server, "manual")
        assert slice_.metadata.labels["x"] == "y"
        assert slice_.metadata.labels[packing.MANAGED_BY] == "endpointslicemirroring-controller.k8s.io"
        endpoints.metadata.labels[packing.SKIP_MIRROR] = "true"
        server.add(endpoints)
        await server.until(lambda: not slices_of(server, "manual"))
        del endpoints.metadata.labels[packing.SKIP_MIRROR]
        server.add(endpoints)
        await server.until(lambda: slices_of(server, "manual"))
        server.remove(ENDPOINTS, "default/manual")
        await server.until(lambda: not slices_of(server, "manual"))


async def test_endpoints_of_a_selector_are_not_mirrored(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.service("web"))
    server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))
    async with running(server, "endpoints", "endpointslice", "endpointslicemirroring"):
        await server.until(lambda: conditions(server, "web") and server.get(ENDPOINTS, "default/web"))
        server.remove(SERVICES, "default/web")
        await server.until(lambda: server.get(ENDPOINTS, "default/web") is None)
    managers = {one.metadata.labels[packing.MANAGED_BY] for one in slices_of(server, "web")}
    assert managers == {"endpointslice-controller.k8s.io"}
