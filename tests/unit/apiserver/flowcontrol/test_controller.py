"""The objects of flow control at an api-server on a store in memory: what is made, kept, told and obeyed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as fc
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.scheme import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS, Resource, pack
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.flowcontrol import defaultobjects
from kubelab.apiserver.flowcontrol.defaultobjects import AUTO_UPDATE
from kubelab.apiserver.flowcontrol.matching import Digest
from kubelab.apiserver.server import ApiServer
from kubelab.auth.users import user_from_pem
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.inprocess import call, certificate
from tests.support.memorystore import MemoryStore
from tests.support.polling import until_true

M = TypeVar("M", bound=Message)
JANE = certificate("jane", "kubeadm:cluster-admins")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[ApiServer]:
    config, clock = ApiServerConfig(audit_log=tmp_path / "audit.log", max_requests_inflight=0), SystemClock()
    config.max_mutating_requests_inflight = 100
    server = ApiServer(config, MemoryStore(clock), process="api-server@cp-1", clock=clock, metrics=CollectorRegistry())
    async with server.running():
        yield server


def stored(api: ApiServer, resource: Resource[M], name: str) -> M | None:
    entry = api.caches[resource].get("", name)
    return resource.message.FromString(entry.raw) if entry is not None else None


async def until(condition: Callable[[], object]) -> None:
    await until_true(condition, within=10.0)


async def test_a_cluster_has_the_objects_that_it_begins_with(api: ApiServer) -> None:

    def told(name: str) -> bool:
        schema = stored(api, FLOW_SCHEMAS, name)
        return schema is not None and [c.status for c in schema.status.conditions] == ["False"]

    await until(lambda: all(stored(api, PRIORITY_LEVEL_CONFIGURATIONS, name) for name in defaultobjects.LEVELS))
    await until(lambda: all(map(told, defaultobjects.SCHEMAS)))
    schema = stored(api, FLOW_SCHEMAS, "system-nodes")
    assert schema is not None
    (condition,) = schema.status.conditions
    assert (condition.type, condition.reason, condition.message) == (
        "Dangling",
        "Found",
        'This FlowSchema references the PriorityLevelConfiguration object named "system" and it exists',
    )
    await until(lambda: api.gate.levels["system"].uid)


async def test_what_is_maintained_comes_back_and_what_is_not_stays(api: ApiServer) -> None:
    await until(lambda: stored(api, FLOW_SCHEMAS, "global-default"))
    options = pb.DeleteRequest(path=pb.ResourcePath(group=FLOW_SCHEMAS.group, resource="flowschemas", name="probes"))
    await until(lambda: stored(api, FLOW_SCHEMAS, "probes"))
    before = stored(api, FLOW_SCHEMAS, "probes")
    assert before is not None
    await api.resources_front.delete(options, call())
    await until(lambda: (now := stored(api, FLOW_SCHEMAS, "probes")) and now.metadata.uid != before.metadata.uid)

    async def change(shares: int, annotation: str) -> None:
        await until(lambda: stored(api, PRIORITY_LEVEL_CONFIGURATIONS, "system"))
        level = stored(api, PRIORITY_LEVEL_CONFIGURATIONS, "system")
        assert level is not None
        level.spec.limited.nominalConcurrencyShares = shares
        level.metadata.annotations[AUTO_UPDATE] = annotation
        where = pb.ResourcePath(group=FLOW_SCHEMAS.group, resource="prioritylevelconfigurations", name="system")
        await api.resources_front.update(pb.UpdateRequest(path=where, object=pack(level)), call())

    def shares() -> int:
        level = stored(api, PRIORITY_LEVEL_CONFIGURATIONS, "system")
        return level.spec.limited.nominalConcurrencyShares if level is not None else 0

    await change(31, "true")
    await until(lambda: shares() == 30)
    await change(245, "false")
    await until(lambda: api.gate.levels["system"].queues.share.nominal > 25)
    assert shares() == 245


async def test_a_schema_without_a_level_is_told_so(api: ApiServer) -> None:
    schema = fc.FlowSchema()
    schema.metadata.name = "lost"
    schema.spec.priorityLevelConfiguration.name = "none"
    where = pb.ResourcePath(group=FLOW_SCHEMAS.group, resource="flowschemas")
    await api.resources_front.create(pb.CreateRequest(path=where, object=pack(schema)), call())

    def told() -> str:
        now = stored(api, FLOW_SCHEMAS, "lost")
        return now.status.conditions[0].message if now is not None and now.status.conditions else ""

    await until(told)
    assert told() == (
        'This FlowSchema references the PriorityLevelConfiguration object named "none" but there is no such object'
    )


async def test_a_list_and_the_beginning_of_a_watch_take_seats_and_give_them_back(api: ApiServer) -> None:
    await until(lambda: api.gate.levels["global-default"].uid)
    where = pb.ResourcePath(resource="pods", namespace="default")
    await api.resources_front.list(pb.ListRequest(path=where), call(pem=JANE))
    counts = api.gate.counts["global-default", "global-default"]
    first = pb.WatchRequest(path=where)
    first.options.sendInitialEvents = True
    first.options.resourceVersionMatch = "NotOlderThan"
    first.options.allowWatchBookmarks = True
    watch = api.resources_front.watch(first, call(pem=JANE))
    await anext(watch)
    assert (counts.dispatched, counts.executing) == (2, 0)
    await watch.aclose()
    assert counts.executing == 0


async def test_who_gets_no_seat_is_refused_and_others_are_not(api: ApiServer) -> None:
    """All seats and queues of jane's level are taken, by herself."""
    where = pb.ResourcePath(resource="pods", namespace="default")
    await api.resources_front.list(pb.ListRequest(path=where), call(pem=JANE))
    flow = api.gate.flow(Digest(user_from_pem(JANE), "list", "", "pods", "default"))

    def take_everything() -> None:
        while True:
            api.gate.enter(flow, 1, flow)

    with pytest.raises(errors.TooManyRequests):
        take_everything()
    with pytest.raises(errors.TooManyRequests, match="Too many requests, please try again later") as refused:
        await api.resources_front.list(pb.ListRequest(path=where), call(pem=JANE))
    assert refused.value.retry_after_seconds >= 1
    await api.resources_front.list(pb.ListRequest(path=where), call())
    await api.resources_front.list(pb.ListRequest(path=where), call(pem=certificate("system:kube-scheduler", "x")))
