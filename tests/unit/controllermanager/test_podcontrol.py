"""PodControl and claiming, for an owner of another kind than any of kubelab's controllers: a Service."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, labels
from kubelab.apimachinery.core.pods import DISRUPTION_TARGET, is_active
from kubelab.apimachinery.meta import new_controller_ref
from kubelab.apimachinery.scheme import PODS, SERVICES
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.controllermanager.controllerrefs import PodControllerRefManager, claims
from kubelab.controllermanager.expectations import Expectations
from kubelab.controllermanager.informers import SharedInformers
from kubelab.controllermanager.podcontrol import (
    PodControl,
    delete_pod,
    pod_from_template,
    slow_start,
    write_condition,
)
from tests.support import objects as make
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.objects import events

KEY = "default/web"
OWNER = make.service("web")
OWNED = new_controller_ref(OWNER, SERVICES)
TEMPLATE = core_pb2.PodTemplateSpec()
TEMPLATE.metadata.labels["app"] = "web"
TEMPLATE.metadata.annotations["note"] = "x"
TEMPLATE.metadata.finalizers.append("example.com/slow")
TEMPLATE.spec.containers.add(name="main", image="host")


def mine(name: str, **options: Any) -> core_pb2.Pod:
    defaults: dict[str, Any] = {"labels": {"app": "web"}, "owner": OWNED}
    return make.pod(name, **(defaults | options))


@dataclass
class Bench:
    """One PodControl over an api-server in memory."""

    server: ApiServerInMemory
    clock: FakeClock
    client: Client
    control: PodControl
    expectations: Expectations[core_pb2.Pod]
    refs: PodControllerRefManager[core_pb2.Service]

    async def events(self, reason: str) -> list[str]:
        await self.clock.settle()
        return [event.message for event in events(self.server, reason)]

    def names(self, verb: str) -> list[str]:
        return [call.name for call in self.server.calls_of(verb, PODS)]


Run = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def bench() -> Run:
    @contextlib.asynccontextmanager
    async def run(*objects: Any) -> AsyncGenerator[Bench]:
        clock = FakeClock()
        server = ApiServerInMemory(clock=clock)
        server.add(*objects, defaults=True)
        client = server.client()
        informers = SharedInformers(client, clock=clock, log=structlog.get_logger(), registry=CollectorRegistry())
        pods = informers.of(PODS)
        recorder = EventRecorder(client, "test-controller", clock=clock)
        expectations = Expectations(pods, clock)
        control = PodControl(client, recorder, expectations)
        refs = PodControllerRefManager(client, SERVICES, pods, control)
        async with tasks.running(informers.run()), tasks.running(recorder.run()):
            await pods.wait_synced()
            yield Bench(server, clock, client, control, expectations, refs)

    return run


async def test_a_created_pod_is_an_event_of_its_owner_and_awaited(bench: Run) -> None:
    async with bench(OWNER) as b:
        b.server.hold_watches(PODS)
        created = await b.control.create(KEY, OWNER, pod_from_template(TEMPLATE, OWNER, SERVICES))
        assert await b.events("SuccessfulCreate") == [f"Created pod: {created.metadata.name}"]
        assert {event.involvedObject.kind for event in events(b.server, "SuccessfulCreate")} == {"Service"}
        assert not b.expectations.satisfied(KEY)
        b.server.release_watches(PODS)
        await b.clock.settle()
        assert b.expectations.satisfied(KEY)


async def test_a_deleted_pod_is_an_event_of_its_owner_and_awaited(bench: Run) -> None:
    pod = mine("a")
    async with bench(OWNER, pod) as b:
        b.server.hold_watches(PODS)
        await b.control.delete(KEY, OWNER, pod)
        assert await b.events("SuccessfulDelete") == ["Deleted pod: a"]
        assert not b.expectations.satisfied(KEY)
        b.server.release_watches(PODS)
        await b.clock.settle()
        assert b.expectations.satisfied(KEY)


@pytest.mark.parametrize("verb", ["create", "delete"])
async def test_a_refusal_is_an_event_and_raised(bench: Run, verb: str) -> None:
    pod = mine("a")
    async with bench(OWNER, *([pod] if verb == "delete" else [])) as b:
        b.server.fail(errors.Forbidden("not today"), verb=verb, resource="pods")
        write = b.control.create if verb == "create" else b.control.delete
        with pytest.raises(errors.Forbidden, match="not today"):
            await write(KEY, OWNER, pod)
        assert await b.events(f"Failed{verb.capitalize()}") == [f"Error {verb[:-1]}ing: not today"]
        assert b.expectations.satisfied(KEY)


async def test_a_pod_that_is_gone_already_or_anew_is_not_deleted(bench: Run) -> None:
    async with bench(OWNER, mine("anew", uid="another")) as b:
        await b.control.delete(KEY, OWNER, mine("gone"))
        with pytest.raises(errors.Conflict):
            await b.control.delete(KEY, OWNER, mine("anew"))
        assert [pod.metadata.uid for pod in b.server.objects(PODS)] == ["another"]
        assert await b.events("SuccessfulDelete") == []
        assert b.expectations.satisfied(KEY)


async def test_a_namespace_that_goes_is_neither_an_event_nor_a_failure_of_a_batch(bench: Run) -> None:
    cause = errors.Cause("metadata.namespace", "namespace default is being terminated", "NamespaceTerminating")
    async with bench(OWNER) as b:
        b.server.fail(errors.Forbidden("going", causes=[cause]), verb="create", resource="pods", times=4)
        with pytest.raises(errors.Forbidden):
            await b.control.create(KEY, OWNER, mine("a"))
        assert await b.control.create_all(KEY, OWNER, [mine("b"), mine("c"), mine("d")]) is None
        assert await b.events("FailedCreate") == []


async def test_a_batch_that_fails_is_the_last(bench: Run) -> None:
    async with bench(OWNER) as b:
        b.server.fail(errors.Forbidden("no room"), verb="create", resource="pods", times=1)
        pods = [mine(f"p{n}") for n in range(9)]
        error = await b.control.create_all(KEY, OWNER, pods)
        assert isinstance(error, errors.Forbidden)
        assert len(b.names("create")) == 1
        assert await b.control.create_all(KEY, OWNER, pods) is None
        b.server.fail(errors.Forbidden("no room"), verb="delete", resource="pods", times=1)
        error = await b.control.delete_all(KEY, OWNER, pods)
        assert isinstance(error, errors.Forbidden)
        assert len(b.names("delete")) == 9  # nothing holds the others back


@given(st.integers(0, 2000))
def test_slow_start_doubles_and_adds_up(count: int) -> None:
    batches = [*slow_start(count)]
    assert sum(batches) == count
    assert all(batch == 2**n for n, batch in enumerate(batches[:-1]))


def test_a_pod_is_made_from_the_template() -> None:
    pod = pod_from_template(TEMPLATE, OWNER, SERVICES)
    assert (pod.metadata.namespace, pod.metadata.generateName) == ("default", "web-")
    assert dict(pod.metadata.labels) == {"app": "web"}
    assert dict(pod.metadata.annotations) == {"note": "x"}
    assert [*pod.metadata.finalizers] == ["example.com/slow"]
    assert pod.spec == TEMPLATE.spec
    assert [*pod.metadata.ownerReferences] == [OWNED]


def test_claims_by_reference_and_selector() -> None:
    stranger = make.controlled_by(make.replication_controller("other"))
    pods = [
        mine("own"),
        mine("orphan", owner=None),
        mine("no longer selected", labels={"app": "x"}),
        mine("another controller's", owner=stranger),
        mine("not selected", owner=None, labels={}),
        mine("orphan that is being deleted", owner=None, deleting=True),
        mine("orphan that has ended", owner=None, phase="Succeeded"),
    ]
    matches = partial(labels.select, {"app": "web"})
    claimed = claims(OWNER, matches, pods, is_active)
    assert [p.metadata.name for p in claimed.own] == ["own"]
    assert [p.metadata.name for p in claimed.adopt] == ["orphan"]
    assert [p.metadata.name for p in claimed.release] == ["no longer selected"]
    leaving = make.service("web")
    leaving.metadata.deletionTimestamp.seconds = 1
    claimed = claims(leaving, matches, pods, is_active)
    assert [p.metadata.name for p in claimed.own] == ["own", "no longer selected"]
    assert claimed.adopt == claimed.release == ()


async def test_an_owner_of_another_kind_adopts_and_releases(bench: Run) -> None:
    stray = mine("stray", labels={"app": "other"})
    async with bench(OWNER, mine("own"), mine("orphan", owner=None), stray) as b:
        pods = await b.refs.claim(KEY, OWNER, partial(labels.select, {"app": "web"}))
        assert [pod.metadata.name for pod in pods] == ["own", "orphan"]
        refs = {pod.metadata.name: [*pod.metadata.ownerReferences] for pod in b.server.objects(PODS)}
        assert refs == {"own": [OWNED], "orphan": [OWNED], "stray": []}


async def test_a_condition_is_written_once_and_a_phase_with_it(bench: Run) -> None:
    async with bench(mine("a")) as b:
        for now in (5.0, 9.0):
            pod = b.server.get(PODS, "default/a")
            assert pod is not None
            await write_condition(
                b.client, pod, DISRUPTION_TARGET, "True", now, reason="Why", message="what", phase="Failed"
            )
        written = b.server.get(PODS, "default/a")
        assert written is not None
        (condition,) = (c for c in written.status.conditions if c.type == DISRUPTION_TARGET)
        assert (condition.status, condition.reason, condition.message) == ("True", "Why", "what")
        assert (condition.lastTransitionTime.seconds, written.status.phase) == (5, "Failed")
        assert len(b.server.calls_of("update", PODS)) == 1
        await delete_pod(b.client, written, grace_period_seconds=0)
        assert b.server.objects(PODS) == []
