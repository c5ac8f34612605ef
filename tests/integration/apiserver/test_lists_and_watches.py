"""Lists and watches: revisions, chunks, selectors, bookmarks, and what has been forgotten."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.scheme import CONFIG_MAPS, SECRETS
from kubelab.apiserver.watchcache import history, reflector
from kubelab.client.client import Event, EventType
from kubelab.client.requests import LIST, WATCH
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb


def pod(name: str, **labels: str) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name = name
    made.metadata.labels.update(labels)
    made.spec.containers.add(name="main", image="hello")
    return made


async def take(events: AsyncIterator[Event[Any]], count: int) -> list[tuple[str, str]]:
    """The next events as (type, name)."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            event = await anext(events)
            found.append((event.type.value, event.object.metadata.name if event.object else ""))
    return found


async def test_a_watch_goes_on_at_another_server_without_a_gap(servers: Any) -> None:
    start = (await servers.a.list(scheme.PODS, "default")).resource_version
    events = servers.a.watch(scheme.PODS, "default", resource_version=start)
    await servers.a.create(pod("one"), "default")
    first = await anext(events)
    assert (first.type, first.object.metadata.name) == (EventType.ADDED, "one")
    assert first.object.metadata.resourceVersion == first.resource_version
    await events.aclose()
    await servers.b.create(pod("two"), "default")
    await servers.a.delete(scheme.PODS, "one", "default")
    resumed = servers.b.watch(scheme.PODS, "default", resource_version=first.resource_version)
    assert await take(resumed, 2) == [("ADDED", "two"), ("DELETED", "one")]
    await resumed.aclose()


async def test_a_watch_that_nobody_reads_ends_and_goes_on_from_what_was_read(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real connection whose client does not read: the server holds little for it, and loses nothing of it."""
    monkeypatch.setattr(history, "MAX_BYTES", 2_000_000)
    big = core_pb2.ConfigMap(data={"n": "0", "x": "x" * 200_000})
    big.metadata.name = "big"
    big = await servers.a.create(big, "default")
    request = pb.WatchRequest(path=pb.ResourcePath(version="v1", resource="configmaps", namespace="default"))
    request.options.resourceVersion = big.metadata.resourceVersion
    deaf = servers.b._transport.stream(WATCH, request)
    cache = servers.apis[1].caches[CONFIG_MAPS]
    written, seen = 0, list[str]()

    async def write() -> None:
        nonlocal big, written
        written += 1
        big.data["n"] = str(written)
        big = await servers.a.update(big)

    await write()
    first = await anext(deaf)  # it has begun
    while cache.watchers:
        await write()
    async for event in deaf:
        seen.append(core_pb2.ConfigMap.FromString(event.object.value).data["n"])
        first = event
    assert seen == [str(n) for n in range(2, 2 + len(seen))]
    assert len(seen) < written - 1
    with pytest.raises(errors.Expired):  # so it lists again
        await anext(servers.b.watch(scheme.CONFIG_MAPS, "default", resource_version=first.resource_version))


async def test_a_watch_without_a_revision_first_tells_what_is_there(servers: Any) -> None:
    await servers.a.create(pod("one"), "default")
    events = servers.b.watch(scheme.PODS, "default", resource_version="")
    assert await take(events, 1) == [("ADDED", "one")]
    await servers.a.create(pod("two"), "default")
    assert await take(events, 1) == [("ADDED", "two")]
    await events.aclose()


async def test_a_deleted_object_comes_with_its_last_state_and_the_revision_of_its_deletion(servers: Any) -> None:
    made = await servers.a.create(pod("one", app="x"), "default")
    events = servers.b.watch(scheme.PODS, "default", resource_version=made.metadata.resourceVersion)
    await servers.a.delete(scheme.PODS, "one", "default")
    gone = await anext(events)
    assert gone.type is EventType.DELETED
    assert gone.object.metadata.labels["app"] == "x"
    assert int(gone.object.metadata.resourceVersion) > int(made.metadata.resourceVersion)
    await events.aclose()


async def test_an_object_enters_and_leaves_the_view_of_a_selector(servers: Any) -> None:
    start = (await servers.a.list(scheme.PODS, "default")).resource_version
    events = servers.b.watch(scheme.PODS, "default", resource_version=start, label_selector="app=node")
    made = await servers.a.create(pod("one", app="flask"), "default")
    for value in ("node", "node2", "node"):
        made.metadata.labels["app"] = value
        made = await servers.a.update(made)
    made.metadata.labels["more"] = "x"
    await servers.a.update(made)
    assert await take(events, 4) == [("ADDED", "one"), ("DELETED", "one"), ("ADDED", "one"), ("MODIFIED", "one")]
    await events.aclose()


async def test_a_field_selector_chooses_a_node_s_pods(servers: Any) -> None:
    start = (await servers.a.list(scheme.PODS, "default")).resource_version
    events = servers.b.watch(scheme.PODS, resource_version=start, field_selector="spec.nodeName=node-1")
    await servers.a.create(pod("other"), "default")
    await servers.a.create(pod("mine"), "default")
    binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))
    binding.metadata.name, binding.metadata.namespace = "mine", "default"
    await servers.a.bind(binding)
    assert await take(events, 1) == [("ADDED", "mine")]
    listed = await servers.b.list(scheme.PODS, field_selector="spec.nodeName=node-1")
    assert [p.metadata.name for p in listed.items] == ["mine"]
    with pytest.raises(errors.BadRequest, match=r"field label not supported: spec.color"):
        await servers.a.list(scheme.PODS, field_selector="spec.color=red")
    await events.aclose()


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=node", ["a", "b"]),
        ("app==node,tier=web", ["a"]),
        ("app!=node", ["c", "d"]),
        ("app in (node, flask)", ["a", "b", "c"]),
        ("app notin (node)", ["c", "d"]),
        ("tier", ["a", "c"]),
        ("!app", ["d"]),
        ("app=node, !tier", ["b"]),
    ],
)
async def test_label_selectors(servers: Any, selector: str, names: list[str]) -> None:
    for made in (pod("a", app="node", tier="web"), pod("b", app="node"), pod("c", app="flask", tier="web"), pod("d")):
        await servers.a.create(made, "default")
    listed = await servers.b.list(scheme.PODS, "default", label_selector=selector)
    assert [p.metadata.name for p in listed.items] == names


async def test_a_bad_selector_is_refused(servers: Any) -> None:
    with pytest.raises(errors.BadRequest, match=r"unable to parse requirement"):
        await servers.a.list(scheme.PODS, "default", label_selector="app=(")


async def test_chunks_are_of_one_revision_whatever_happens_between_them(servers: Any) -> None:
    for n in range(10):
        await servers.a.create(pod(f"p{n}"), "default")
    page = await servers.a.list(scheme.PODS, "default", limit=4)
    assert [p.metadata.name for p in page.items] == ["p0", "p1", "p2", "p3"]
    assert page.remaining == 6
    await servers.a.delete(scheme.PODS, "p5", "default")
    await servers.a.create(pod("p55"), "default")
    second = await servers.b.list(scheme.PODS, "default", limit=4, continue_=page.continue_)
    assert [p.metadata.name for p in second.items] == ["p4", "p5", "p6", "p7"]
    last = await servers.a.list(scheme.PODS, "default", limit=4, continue_=second.continue_)
    assert [p.metadata.name for p in last.items] == ["p8", "p9"]
    assert last.continue_ == ""
    assert page.resource_version == second.resource_version == last.resource_version
    names = [p.metadata.name async for chunk in servers.b.pages(scheme.PODS, chunk=3) for p in chunk.items]
    assert names == sorted(["p0", "p1", "p2", "p3", "p4", "p55", "p6", "p7", "p8", "p9"])


@pytest.mark.parametrize("from_etcd", [False, True], ids=["from the cache", "from etcd"])
async def test_a_chunk_of_big_objects_has_fewer_of_them(servers: Any, from_etcd: bool) -> None:
    """70 config maps of a megabyte are more than one message may have."""
    for n in range(70):
        big = core_pb2.ConfigMap(data={"a": "x" * 1_000_000})
        big.metadata.name = f"big-{n:02}"
        await servers.a.create(big, "default")
    sizes: list[int] = []
    async for page in servers.b.pages(scheme.CONFIG_MAPS, "default", chunk=500):
        sizes.append(len(page.items))
        if from_etcd:  # the rest of the list is of the past now
            touched = core_pb2.ConfigMap(data={"n": str(len(sizes))})
            touched.metadata.name, touched.metadata.namespace = "big-00", "default"
            await servers.a.update(touched)
    assert sum(sizes) == 70
    assert max(sizes) == 16
    with pytest.raises(errors.TooLarge) as told:
        await servers.b.list(scheme.CONFIG_MAPS, "default")
    assert re.fullmatch(
        r"the list of 70 configmaps has 6[56]\.\d MiB, and an answer may have 64 MiB: ask for it in pieces, "
        "with limit and continue",
        told.value.message,
    )
    assert len((await servers.b.list_table(scheme.CONFIG_MAPS, "default")).rows) == 70


async def test_less_than_no_limit_is_no_limit(servers: Any) -> None:
    await servers.a.create(pod("one"), "default")
    await servers.a.create(pod("two"), "default")
    request = pb.ListRequest(path=pb.ResourcePath(version="v1", resource="pods"))
    request.options.limit = -1
    assert len((await servers.a._transport.unary(LIST, request, timeout=10)).items) == 2


async def test_what_is_compacted_has_expired(servers: Any) -> None:
    for n in range(4):
        await servers.a.create(pod(f"p{n}"), "default")
    page = await servers.a.list(scheme.PODS, "default", limit=2)
    await servers.a.delete(scheme.PODS, "p3", "default")
    api = servers.apis[0]
    await api.compactor.step()
    await servers.a.create(pod("later"), "default")
    await api.store.compact(await api.store.revision())
    with pytest.raises(errors.Expired, match=r"The provided continue parameter is too old"):
        await servers.b.list(scheme.PODS, "default", limit=2, continue_=page.continue_)
    # The caches of the running servers still know what etcd has forgotten; one that starts now does not.
    events = servers.b.watch(scheme.PODS, "default", resource_version=page.resource_version)
    assert await take(events, 2) == [("DELETED", "p3"), ("ADDED", "later")]
    await events.aclose()


async def test_a_server_that_began_later_says_expired(start: Any) -> None:
    first = await start(1)
    made = await first.a.create(pod("one"), "default")
    await first.a.create(pod("two"), "default")
    second = await start(1)
    with pytest.raises(errors.Expired, match=r"too old resource version: \d+ \(\d+\)"):
        await anext(second.a.watch(scheme.PODS, "default", resource_version=made.metadata.resourceVersion))


async def test_a_revision_of_the_future_is_waited_for_and_then_refused(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "CATCH_UP", 0.2)
    with pytest.raises(errors.Timeout, match=r"Too large resource version: 99999, current: "):
        await servers.a.list(scheme.PODS, "default", resource_version="99999")


async def test_exact_and_not_older_lists(servers: Any) -> None:
    one = await servers.a.create(pod("one"), "default")
    await servers.a.create(pod("two"), "default")

    async def names(version: str, match: str) -> list[str]:
        request = pb.ListRequest(path=pb.ResourcePath(version="v1", resource="pods", namespace="default"))
        request.options.resourceVersion, request.options.resourceVersionMatch = version, match
        answer = await servers.b._transport.unary(LIST, request, timeout=10)
        return [core_pb2.Pod.FromString(item.value).metadata.name for item in answer.items]

    version = one.metadata.resourceVersion
    assert await names(version, "Exact") == ["one"]
    assert set(await names(version, "NotOlderThan")) >= {"one"}
    with pytest.raises(errors.Invalid, match='resourceVersionMatch "exact" is forbidden for resourceVersion "0"'):
        await names("0", "Exact")
    with pytest.raises(errors.BadRequest):
        await names("yesterday", "")


async def test_initial_events_end_with_a_bookmark_and_a_watch_with_its_time(servers: Any) -> None:
    await servers.a.create(pod("one"), "default")
    request = pb.WatchRequest(path=pb.ResourcePath(version="v1", resource="pods", namespace="default"))
    options = meta_pb2.ListOptions(sendInitialEvents=True, allowWatchBookmarks=True, timeoutSeconds=1)
    options.resourceVersionMatch = "NotOlderThan"
    request.options.CopyFrom(options)
    seen = [e async for e in servers.b._transport.stream(WATCH, request)]
    assert [e.type for e in seen] == [pb.WatchEvent.ADDED, pb.WatchEvent.BOOKMARK]
    assert int(seen[1].resource_version) >= int(seen[0].resource_version)
    end = core_pb2.Pod.FromString(seen[1].object.value).metadata
    assert dict(end.annotations) == {"k8s.io/initial-events-end": "true"}
    assert end.resourceVersion == seen[1].resource_version


async def test_bookmarks_tell_how_far_a_quiet_watch_is(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start = (await servers.a.list(scheme.SECRETS, "default")).resource_version
    events = servers.a.watch(scheme.SECRETS, "default", resource_version=start)
    waiting = asyncio.ensure_future(anext(events))
    made = await servers.a.create(pod("one"), "default")
    api = servers.apis[0]
    await api.reflector.reached(int(made.metadata.resourceVersion))
    async with asyncio.timeout(10):
        while not api.caches[SECRETS].watchers:
            await servers.a.server_version()  # the watch's request is on its way
    api.reflector.send_bookmarks()
    told = await waiting
    assert (told.type, told.resource_version) == (EventType.BOOKMARK, made.metadata.resourceVersion)
    await events.aclose()


async def test_watches_end_when_the_server_stops(servers: Any) -> None:
    start = (await servers.a.list(scheme.PODS, "default")).resource_version
    events = servers.a.watch(scheme.PODS, "default", resource_version=start)
    await servers.a.create(pod("one"), "default")
    assert await take(events, 1) == [("ADDED", "one")]
    servers.apis[0].reflector.close_watches()
    async with asyncio.timeout(10):
        assert [e async for e in events] == []


async def test_a_table_is_made_by_the_server(servers: Any) -> None:
    await servers.a.create(pod("one"), "default")
    table = await servers.b.list_table(scheme.PODS, "default")
    assert [c.name for c in table.columnDefinitions][:3] == ["Name", "Ready", "Status"]
    assert [row.cells[0] for row in table.rows] == ["one"]
    told = meta_pb2.PartialObjectMetadata()
    assert table.rows[0].object.Unpack(told)
    assert told.metadata.namespace == "default"
    one = await servers.b.get_table(scheme.PODS, "one", "default", include_object="Object")
    whole = core_pb2.Pod()
    assert one.rows[0].object.Unpack(whole)
    assert whole.spec.containers[0].image == "hello"
    events = servers.b.watch_table(scheme.PODS, "default", resource_version="0")
    event = await anext(events)
    assert event.object.rows[0].cells[0] == "one"
    await events.aclose()
