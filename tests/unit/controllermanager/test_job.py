"""The job controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.batch.jobs import COMPLETION_INDEX, TRACKING
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.scheme import JOBS, PODS
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, pods


def make_job(name: str = "pi", **spec: Any) -> batch_pb2.Job:
    job = batch_pb2.Job()
    job.metadata.name, job.metadata.namespace = name, "default"
    template = job.spec.template.spec
    template.restartPolicy = "Never"
    template.containers.add(name="pi", image="host")
    for field, value in spec.items():
        setattr(job.spec, field, value)
    return job


def status_of(server: ApiServerInMemory, name: str = "pi") -> batch_pb2.JobStatus:
    job = server.get(JOBS, f"default/{name}")
    assert job is not None
    return job.status


def conditions(server: ApiServerInMemory, name: str = "pi") -> list[tuple[str, str, str]]:
    return [(c.type, c.status, c.reason) for c in status_of(server, name).conditions]


def end(server: ApiServerInMemory, pod: core_pb2.Pod, phase: str = "Succeeded", code: int = 0) -> None:
    """Do a kubelet's part: the pod's container ends."""
    pod.status.phase = phase
    del pod.status.containerStatuses[:]
    terminated = pod.status.containerStatuses.add(name="pi").state.terminated
    terminated.exitCode = code
    terminated.finishedAt.seconds = int(server.clock.time())
    server.add(pod)


def unended(server: ApiServerInMemory) -> list[core_pb2.Pod]:
    return [pod for pod in pods(server) if pod.status.phase in ("Pending", "Running")]


def index_of(pod: core_pb2.Pod) -> str:
    return pod.metadata.annotations[COMPLETION_INDEX]


async def test_a_job_runs_as_many_pods_at_once_as_it_says_until_it_is_complete(running: Run) -> None:
    server = ApiServerInMemory()
    async with running(server, "job", elect=True):
        await server.client().create(make_job(completions=5, parallelism=2))
        for done in range(0, 4, 2):
            await server.until(lambda: len(unended(server)) == 2 and status_of(server).active == 2)
            for pod in unended(server):
                end(server, pod)
            await server.until(lambda done=done: status_of(server).succeeded == done + 2)
        await server.until(lambda: len(unended(server)) == 1)
        end(server, unended(server)[0])
        await server.until(lambda: status_of(server).HasField("completionTime"))
        await server.until(lambda: events(server, "Completed"))
    status = status_of(server)
    assert (status.succeeded, status.failed, status.active, status.ready) == (5, 0, 0, 0)
    assert conditions(server) == [
        ("SuccessCriteriaMet", "True", "CompletionsReached"),
        ("Complete", "True", "CompletionsReached"),
    ]
    assert not status.uncountedTerminatedPods.succeeded
    assert len(pods(server)) == 5
    assert all(TRACKING not in pod.metadata.finalizers for pod in pods(server))
    assert len(server.calls_of("create", PODS)) == 5
    assert [event.message for event in events(server, "Completed")] == ["Job completed"]


async def test_pods_wait_for_the_back_off_and_fail_the_job_at_its_limit(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(make_job(backoffLimit=1))
    async with running(server, "job", clock=clock):
        await clock.settle()
        end(server, unended(server)[0], "Failed", 1)
        await clock.settle()
        assert (status_of(server).failed, unended(server)) == (1, [])
        await clock.advance(8)
        assert not unended(server)
        await clock.advance(3)
        assert len(unended(server)) == 1
        end(server, unended(server)[0], "Failed", 1)
        await clock.advance(60)
    assert (status_of(server).failed, len(pods(server)), status_of(server).active) == (2, 2, 0)
    assert conditions(server) == [
        ("FailureTarget", "True", "BackoffLimitExceeded"),
        ("Failed", "True", "BackoffLimitExceeded"),
    ]
    [event] = events(server, "BackoffLimitExceeded")
    assert (event.type, event.message) == ("Warning", "Job has reached the specified backoff limit")


async def test_each_index_succeeds_once(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(make_job(completions=4, parallelism=3, completionMode="Indexed"))
    async with running(server, "job", clock=clock):
        await clock.settle()
        by_index = {index_of(pod): pod for pod in unended(server)}
        assert sorted(by_index) == ["0", "1", "2"]
        pod = by_index["1"]
        assert pod.spec.hostname == "pi-1"
        assert pod.metadata.name.startswith("pi-1-")
        assert pod.metadata.labels[COMPLETION_INDEX] == "1"
        [variable] = pod.spec.containers[0].env
        assert variable.name == "JOB_COMPLETION_INDEX"
        assert variable.valueFrom.fieldRef.fieldPath == f"metadata.labels['{COMPLETION_INDEX}']"
        end(server, by_index["0"])
        end(server, by_index["2"])
        end(server, by_index["1"], "Failed", 1)
        await clock.settle()
        assert status_of(server).completedIndexes == "0,2"
        await clock.advance(12)
        assert sorted(index_of(pod) for pod in unended(server)) == ["1", "3"]
        for left in unended(server):
            end(server, left)
        await clock.advance(2)
    assert status_of(server).completedIndexes == "0-3"
    assert (status_of(server).succeeded, status_of(server).failed) == (4, 1)
    assert conditions(server)[-1] == ("Complete", "True", "CompletionsReached")


async def test_indexes_fail_by_themselves(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(
        make_job(completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1)
    )
    async with running(server, "job", clock=clock):
        await clock.settle()
        by_index = {index_of(pod): pod for pod in unended(server)}
        end(server, by_index["0"], "Failed", 1)
        end(server, by_index["1"])
        await clock.advance(12)
        [again] = unended(server)
        assert index_of(again) == "0"
        assert again.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] == "1"
        end(server, again, "Failed", 1)
        await clock.advance(12)
    status = status_of(server)
    assert (status.completedIndexes, status.failedIndexes, status.failed) == ("1", "0", 2)
    assert conditions(server) == [("FailureTarget", "True", "FailedIndexes"), ("Failed", "True", "FailedIndexes")]
    assert all(TRACKING not in pod.metadata.finalizers for pod in pods(server))


async def test_a_suspended_job_has_no_pods_and_starts_its_time_anew(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(make_job(parallelism=2, completions=2))

    async def suspend(value: bool) -> None:
        job = server.get(JOBS, "default/pi")
        assert job is not None
        job.spec.suspend = value
        server.add(job)
        await clock.advance(2)

    async with running(server, "job", clock=clock):
        await clock.settle()
        assert len(unended(server)) == 2
        began = status_of(server).startTime.seconds
        await suspend(True)
        assert not unended(server)
        assert conditions(server) == [("Suspended", "True", "JobSuspended")]
        await clock.advance(100)
        await suspend(False)
        assert len(unended(server)) == 2
        assert conditions(server) == [("Suspended", "False", "JobResumed")]
        assert status_of(server).startTime.seconds >= began + 100
    assert status_of(server).failed == 0  # what the Job itself takes away did not fail
    assert [event.message for event in events(server, "Suspended")] == ["Job suspended"]
    assert [event.message for event in events(server, "Resumed")] == ["Job resumed"]


async def test_a_job_that_is_active_too_long_fails(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(make_job(activeDeadlineSeconds=30))
    async with running(server, "job", clock=clock):
        await clock.advance(29)
        assert status_of(server).active == 1
        await clock.advance(3)
    assert conditions(server)[-1] == ("Failed", "True", "DeadlineExceeded")
    assert (status_of(server).failed, status_of(server).active) == (1, 0)
    assert not unended(server)


@pytest.mark.parametrize(
    ("action", "code", "failed", "condition"),
    [
        ("FailJob", 42, 1, ("Failed", "True", "PodFailurePolicy")),
        ("Ignore", 42, 0, None),
        ("Count", 42, 1, None),
        ("FailJob", 1, 1, None),
    ],
)
async def test_the_pod_failure_policy(
    running: Run, action: str, code: int, failed: int, condition: tuple[str, str, str] | None
) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    job = make_job()
    job.spec.podFailurePolicy.rules.add(action=action).onExitCodes.MergeFrom(
        batch_pb2.PodFailurePolicyOnExitCodesRequirement(operator="In", values=[42])
    )
    await server.client().create(job)
    async with running(server, "job", clock=clock):
        await clock.settle()
        pod = unended(server)[0]
        end(server, pod, "Failed", code)
        await clock.advance(11)
        assert len(unended(server)) == (condition is None)
    assert status_of(server).failed == failed
    assert conditions(server)[-1:] == ([condition] if condition else [])
    if condition:
        who = f"Container pi for pod default/{pod.metadata.name}"
        told = f"{who} failed with exit code 42 matching FailJob rule at index 0"
        assert status_of(server).conditions[-1].message == told


async def test_the_success_policy_ends_the_other_pods(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    job = make_job(completions=3, parallelism=3, completionMode="Indexed")
    job.spec.successPolicy.rules.add(succeededIndexes="0")
    await server.client().create(job)
    async with running(server, "job", clock=clock):
        await clock.settle()
        end(server, next(pod for pod in unended(server) if index_of(pod) == "0"))
        await clock.advance(3)
    assert conditions(server) == [
        ("SuccessCriteriaMet", "True", "SuccessPolicy"),
        ("Complete", "True", "SuccessPolicy"),
    ]
    assert status_of(server).conditions[0].message == "Matched rules at index 0"
    assert not unended(server)


async def test_no_pod_is_counted_twice_or_lost_when_writes_fail(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(make_job(completions=6, parallelism=6))
    async with running(server, "job", clock=clock):
        await clock.settle()
        server.fail(errors.Unavailable("no"), verb="update", resource="jobs", times=2, after=True)
        server.fail(errors.Unavailable("no"), verb="update", resource="pods", times=3)
        for pod in unended(server):
            end(server, pod)
        await clock.advance(30)
    assert status_of(server).succeeded == 6
    assert conditions(server)[-1] == ("Complete", "True", "CompletionsReached")
    assert all(TRACKING not in pod.metadata.finalizers for pod in pods(server))


async def test_pods_of_a_job_that_is_gone_are_let_go_and_collected(running: Run) -> None:
    server = ApiServerInMemory()
    client = server.client()
    await client.create(make_job(completions=2, parallelism=2))
    async with running(server, "job", "garbagecollector"):
        await server.until(lambda: len(pods(server)) == 2)
        await client.delete(JOBS, "pi", "default", propagation_policy="Background")
        await server.until(lambda: not server.objects(PODS))
        with pytest.raises(NotFound):
            await client.get(JOBS, "pi", "default")


async def test_jobs_that_ended_are_deleted_after_their_time(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(make_job(ttlSecondsAfterFinished=60))
    async with running(server, "job", "ttlafterfinished", "garbagecollector", clock=clock):
        await clock.settle()
        end(server, unended(server)[0])
        await clock.advance(50)
        assert conditions(server)
        await clock.advance(20)
        assert server.get(JOBS, "default/pi") is None
        assert not server.objects(PODS)
