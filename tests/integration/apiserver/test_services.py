"""Cluster addresses and node ports: two servers, one etcd, nothing handed out twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.controlplane import bootstrap
from kubelab.apiserver.storage.store import Delete, prefix_end


def service(
    name: str, *, address: str = "", kind: str = "ClusterIP", ports: dict[int, int] | None = None
) -> core_pb2.Service:
    """``ports`` maps a port to its node port, 0 for any."""
    made = core_pb2.Service()
    made.metadata.name = name
    made.spec.type, made.spec.clusterIP = kind, address
    for port, node_port in (ports or {80: 0}).items():
        made.spec.ports.add(name=f"p{port}", protocol="TCP", port=port, nodePort=node_port)
    return made


async def gathered(*calls: Any) -> tuple[list[core_pb2.Service], list[errors.ApiError]]:
    results = await asyncio.gather(*calls, return_exceptions=True)
    unexpected = [r for r in results if isinstance(r, BaseException) and not isinstance(r, errors.ApiError)]
    assert unexpected == []
    return (
        [r for r in results if isinstance(r, core_pb2.Service)],
        [r for r in results if isinstance(r, errors.ApiError)],
    )


async def test_the_api_server_has_its_own_service(start: Any) -> None:
    servers = await start(2, advertise_address="192.0.2.1:6443")
    made = await servers.a.get(scheme.SERVICES, "kubernetes", "default")
    assert made.spec.clusterIP == "10.96.0.1"
    endpoints = await _endpoints(servers.b)
    assert [a.ip for a in endpoints.subsets[0].addresses] == ["192.0.2.1"]
    assert endpoints.subsets[0].ports[0].port == 6443
    with pytest.raises(errors.Invalid) as told:
        await servers.b.create(service("thief", address="10.96.0.1"), "default")
    assert told.value.message == (
        'Service "thief" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.0.1"}: '
        "failed to allocate IP 10.96.0.1: provided IP is already allocated"
    )
    await servers.a.delete(scheme.SERVICES, "kubernetes", "default")
    async with asyncio.timeout(10):  # it comes back by itself
        async for event in servers.b.watch(scheme.SERVICES, "default", resource_version="0"):
            if event.object and event.object.metadata.uid != made.metadata.uid:
                break


async def test_an_api_server_s_record_that_is_lost_is_written_again(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "RENEW_EVERY", 0.05)
    servers = await start(1, advertise_address="192.0.2.1:6443")
    store = servers.apis[0].store
    there = await _endpoints(servers.a)
    (record,) = (await store.range(bootstrap.MASTERS, prefix_end(bootstrap.MASTERS))).items
    gone = await store.transact([], [Delete(record.key)])
    async with asyncio.timeout(10):
        while not (found := (await store.range(record.key)).items) or found[0].mod_revision <= gone.revision:
            await servers.a.server_version()
    assert found[0].value == record.value
    assert (await _endpoints(servers.a)).subsets == there.subsets


async def _endpoints(client: Any) -> core_pb2.Endpoints:
    """The endpoints of the api-servers, once there are any."""
    async with asyncio.timeout(10):
        async for event in client.watch(scheme.ENDPOINTS, "default", resource_version="0"):
            if event.object is not None and event.object.subsets:
                return event.object
    raise AssertionError("the watch ended")


async def test_one_address_goes_to_one_of_many(servers: Any) -> None:
    made, refused = await gathered(
        *(
            (servers.a if n % 2 else servers.b).create(service(f"s{n}", address="10.96.7.7"), "default")
            for n in range(8)
        )
    )
    assert len(made) == 1
    assert {type(e) for e in refused} == {errors.Invalid}
    assert all("provided IP is already allocated" in e.message for e in refused)


async def test_one_node_port_goes_to_one_of_many(servers: Any) -> None:
    made, refused = await gathered(
        *(
            (servers.a if n % 2 else servers.b).create(
                service(f"s{n}", kind="NodePort", ports={80: 30080, 81: 0}), "default"
            )
            for n in range(8)
        )
    )
    assert len(made) == 1
    assert {e.message.partition(" is invalid: ")[2] for e in refused} == {
        "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    }
    ports = Counter(p.nodePort for s in (await servers.a.list(scheme.SERVICES)).items for p in s.spec.ports)
    assert ports[30080] == 1


async def test_a_small_range_is_used_to_its_last_address_and_never_twice(start: Any) -> None:
    servers = await start(2, service_cidr="10.96.0.0/27", node_port_range="30000-30019")
    made, refused = await gathered(
        *((servers.a if n % 2 else servers.b).create(service(f"s{n}", kind="NodePort"), "default") for n in range(40))
    )
    assert len(made) == 20  # the ports are fewer than the addresses
    assert {e.message for e in refused} == {"Internal error occurred: failed to allocate a nodePort: range is full"}
    everything = (await servers.b.list(scheme.SERVICES)).items
    assert max(Counter(s.spec.clusterIP for s in everything).values()) == 1
    assert {p.nodePort for s in made for p in s.spec.ports} == set(range(30000, 30020))
    more, refused = await gathered(*(servers.a.create(service(f"t{n}"), "default") for n in range(12)))
    assert len(more) == 9  # thirty addresses: twenty above, the api-server's own, nine more
    assert {e.message for e in refused} == {"Internal error occurred: failed to allocate a serviceIP: range is full"}
    for one in made[:3]:
        await servers.a.delete(scheme.SERVICES, one.metadata.name, "default")
    again, refused = await gathered(*(servers.b.create(service(f"u{n}", kind="NodePort"), "default") for n in range(3)))
    assert refused == []
    assert {s.spec.ports[0].nodePort for s in again} == {s.spec.ports[0].nodePort for s in made[:3]}


async def test_what_is_out_of_range_is_refused(servers: Any) -> None:
    with pytest.raises(errors.Invalid) as told:
        await servers.a.create(service("s", address="192.168.1.1"), "default")
    assert "The range of valid IPs is 10.96.0.0/12" in told.value.message
    with pytest.raises(errors.Invalid) as told:
        await servers.a.create(service("s", kind="NodePort", ports={80: 8080}), "default")
    assert told.value.message == (
        'Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 8080: '
        "provided port is not in the valid range. The range of valid ports is 30000-32767"
    )


async def test_an_update_keeps_what_it_leaves_open_and_gives_back_what_it_drops(servers: Any) -> None:
    made = await servers.a.create(service("s", kind="NodePort", ports={80: 30100, 81: 30101}), "default")
    changed = service("s", kind="NodePort", ports={80: 0, 82: 0})
    after = await servers.b.update(_in(changed, "default"))
    assert after.spec.clusterIP == made.spec.clusterIP
    assert after.spec.ports[0].nodePort == 30100
    assert after.spec.ports[1].nodePort not in (0, 30101)
    await servers.a.create(service("t", kind="NodePort", ports={80: 30101}), "default")
    with pytest.raises(errors.Invalid, match=r"provided port is already allocated"):
        await servers.b.update(_in(service("s", kind="NodePort", ports={80: 30101}), "default"))
    plain = await servers.a.update(_in(service("s", ports={80: 0}), "default"))
    assert [p.nodePort for p in plain.spec.ports] == [0]
    await servers.b.create(service("u", kind="NodePort", ports={80: 30100}), "default")


async def test_a_node_port_stays_with_its_port_s_name(servers: Any) -> None:
    await servers.a.create(service("s", kind="NodePort", ports={80: 30100, 81: 30101}), "default")
    changed = service("s", kind="NodePort", ports={8080: 0, 81: 0})
    changed.spec.ports[0].name = "p80"
    after = await servers.b.update(_in(changed, "default"))
    assert [p.nodePort for p in after.spec.ports] == [30100, 30101]
    swapped = service("s", kind="NodePort", ports={80: 30101, 81: 0})
    after = await servers.a.update(_in(swapped, "default"))
    assert after.spec.ports[0].nodePort == 30101
    assert after.spec.ports[1].nodePort not in (0, 30101)


async def test_the_protocols_of_a_port_share_the_node_port_that_one_asks_for(servers: Any) -> None:
    dns = service("dns", kind="NodePort")
    del dns.spec.ports[:]
    dns.spec.ports.add(name="udp", protocol="UDP", port=53)
    dns.spec.ports.add(name="tcp", protocol="TCP", port=53, nodePort=30953)
    made = await servers.a.create(dns, "default")
    assert [p.nodePort for p in made.spec.ports] == [30953, 30953]


async def test_who_goes_gives_back_what_it_held_and_nothing_else(servers: Any) -> None:
    """The update that takes the last finalizer off asks for the port of another service."""
    held = service("a", kind="NodePort", ports={80: 30001})
    held.metadata.finalizers.append("example.org/hold")
    await servers.a.create(held, "default")
    other = await servers.a.create(service("b", kind="NodePort", ports={80: 30002}), "default")
    going = await servers.a.delete(scheme.SERVICES, "a", "default")
    going.metadata.ClearField("finalizers")
    going.spec.ports[0].nodePort = 30002
    await servers.a.update(going)
    page = await servers.apis[0].store.range("/registry/ranges/", "/registry/ranges0", keys_only=True)
    assert {kv.key for kv in page.items} == {
        "/registry/ranges/servicenodeports/30002",
        "/registry/ranges/serviceips/10.96.0.1",
        f"/registry/ranges/serviceips/{other.spec.clusterIP}",
    }


async def test_headless_and_external_services_hold_nothing(servers: Any) -> None:
    headless = await servers.a.create(service("headless", address="None"), "default")
    assert (headless.spec.clusterIP, list(headless.spec.clusterIPs)) == ("None", ["None"])
    named = service("named", kind="ExternalName")
    named.spec.externalName = "example.org"
    assert (await servers.a.create(named, "default")).spec.clusterIP == ""
    page = await servers.apis[0].store.range("/registry/ranges/", "/registry/ranges0", keys_only=True)
    assert [kv.key for kv in page.items] == ["/registry/ranges/serviceips/10.96.0.1"]


async def test_records_go_with_their_service(servers: Any) -> None:
    for n in range(5):
        await servers.a.create(service(f"s{n}", kind="LoadBalancer"), "default")
    for n in range(5):
        await servers.b.delete(scheme.SERVICES, f"s{n}", "default")
    page = await servers.apis[0].store.range("/registry/ranges/", "/registry/ranges0", keys_only=True)
    assert [kv.key for kv in page.items] == ["/registry/ranges/serviceips/10.96.0.1"]


def _in(obj: core_pb2.Service, namespace: str) -> core_pb2.Service:
    obj.metadata.namespace = namespace
    return obj
