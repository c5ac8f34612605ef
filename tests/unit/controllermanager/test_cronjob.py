"""The cron job controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from typing import Any

import pytest

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery.batch import schedules
from kubelab.apimachinery.scheme import CRON_JOBS, JOBS
from kubelab.controllermanager.cronjob import decide
from kubelab.controllermanager.cronjob.schedule import next_after
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import START, FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events

SEOUL = zoneinfo.ZoneInfo("Asia/Seoul")
MINUTE = 60.0


def cron_job(schedule: str = "*/5 * * * *", **spec: Any) -> batch_pb2.CronJob:
    made = batch_pb2.CronJob()
    made.metadata.name, made.metadata.namespace = "hello", "default"
    made.spec.schedule, made.spec.timeZone = schedule, "UTC"
    template = made.spec.jobTemplate
    template.metadata.labels["app"] = "hello"
    template.spec.template.spec.restartPolicy = "OnFailure"
    template.spec.template.spec.containers.add(name="hello", image="host")
    for name, value in spec.items():
        setattr(made.spec, name, value)
    return made


def status(server: ApiServerInMemory) -> batch_pb2.CronJobStatus:
    found = server.get(CRON_JOBS, "default/hello")
    assert found is not None
    return found.status


def jobs(server: ApiServerInMemory) -> list[str]:
    return [job.metadata.name for job in server.objects(JOBS)]


def complete(server: ApiServerInMemory, kind: str = "Complete") -> None:
    """Do the job controller's part: every Job has ended."""
    for job in server.objects(JOBS):
        if not job.status.conditions:
            job.status.conditions.add(type=kind, status="True")
            job.status.startTime.seconds = job.status.completionTime.seconds = int(server.clock.time())
            server.add(job)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("*/5 * * * *", "UTC", "2026-01-01T00:00:00", "2026-01-01T00:05:00"),
        ("30 9 * * mon", "Asia/Seoul", "2026-01-01T00:00:00", "2026-01-05T09:30:00"),
        ("0 0 13 * fri", "UTC", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),  # either day, when both are named
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("@every 90s", "UTC", "2026-01-01T00:00:00", "2026-01-01T00:01:30"),
    ],
)
def test_the_next_time(schedule: str, zone: str, after: str, expected: str) -> None:
    where = schedules.time_zone(zone)
    begin = datetime.fromisoformat(after).replace(tzinfo=where).timestamp()
    found = next_after(schedules.parse(schedule), begin, where)
    assert found is not None
    assert datetime.fromtimestamp(found, where).replace(tzinfo=None).isoformat() == expected


def test_a_time_that_never_comes() -> None:
    assert next_after(schedules.parse("0 0 30 2 *"), START, SEOUL) is None


@pytest.mark.parametrize(
    ("minutes", "deadline", "last", "missed"),
    [(3, None, None, 0), (5, None, 5, 1), (7, None, 5, 1), (32, None, 30, 6), (32, 60, None, 0), (30.5, 60, 30, 1)],
)
def test_the_time_that_is_due(minutes: float, deadline: int | None, last: int | None, missed: int) -> None:
    made = cron_job()
    if deadline is not None:
        made.spec.startingDeadlineSeconds = deadline
    made.metadata.creationTimestamp.seconds = int(START)
    every = schedules.parse(made.spec.schedule)
    found = decide.due(made, lambda after: next_after(every, after, SEOUL), START + minutes * MINUTE)
    assert found.last == (START + last * MINUTE if last is not None else None)
    assert found.missed == missed
    assert found.next is not None
    assert found.next > START + minutes * MINUTE


async def test_a_job_at_each_time_and_a_short_history(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(cron_job(timeZone="Asia/Seoul", successfulJobsHistoryLimit=2))
    async with running(server, "cronjob", clock=clock):
        await clock.advance(4 * MINUTE)
        assert jobs(server) == []
        await clock.advance(MINUTE + 1)
        [first] = server.objects(JOBS)
        at = int(START + 5 * MINUTE)
        assert first.metadata.name == f"hello-{at // 60}"
        assert first.metadata.labels["app"] == "hello"
        stamp = first.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert stamp == datetime.fromtimestamp(at, SEOUL).isoformat()
        assert first.metadata.ownerReferences[0].kind == "CronJob"
        assert [ref.name for ref in status(server).active] == [first.metadata.name]
        assert status(server).lastScheduleTime.seconds == at
        for _ in range(3):
            complete(server)
            await clock.advance(5 * MINUTE)
    assert not any(ref.name == first.metadata.name for ref in status(server).active)
    assert len(jobs(server)) == 3  # two of the history, and the one that runs
    assert status(server).lastSuccessfulTime.seconds
    assert f"Created job {first.metadata.name}" in [event.message for event in events(server, "SuccessfulCreate")]
    told = [event.message for event in events(server, "SawCompletedJob")]
    assert f"Saw completed job: {first.metadata.name}, condition: Complete" in told
    assert [event.message for event in events(server, "SuccessfulDelete")] == [f"Deleted job {first.metadata.name}"]


@pytest.mark.parametrize(("policy", "left", "made"), [("Allow", 3, 3), ("Forbid", 1, 1), ("Replace", 1, 3)])
async def test_a_job_that_still_runs(running: Run, policy: str, left: int, made: int) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(cron_job(concurrencyPolicy=policy))
    async with running(server, "cronjob", "garbagecollector", clock=clock):
        for _ in range(3):
            await clock.advance(5 * MINUTE + 0.5)
    assert (len(jobs(server)), len(server.calls_of("create", JOBS))) == (left, made)
    assert len(status(server).active) == left
    if policy == "Forbid":
        told = "Not starting job because prior execution is running and concurrency policy is Forbid"
        assert events(server, "JobAlreadyActive")[0].message == told


async def test_a_suspended_cron_job_makes_none_and_then_only_the_last_one(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(cron_job(suspend=True))
    async with running(server, "cronjob", clock=clock):
        await clock.advance(22 * MINUTE)
        assert jobs(server) == []
        changed = server.get(CRON_JOBS, "default/hello")
        assert changed is not None
        changed.spec.suspend = False
        server.add(changed)
        await clock.advance(1)
    assert jobs(server) == [f"hello-{int(START + 20 * MINUTE) // 60}"]


async def test_no_time_is_done_twice_when_the_note_of_it_is_lost(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(cron_job())
    async with running(server, "cronjob", clock=clock):
        await clock.advance(5 * MINUTE + 1)
    lost = server.get(CRON_JOBS, "default/hello")
    assert lost is not None
    lost.status.Clear()
    server.add(lost)
    async with running(server, "cronjob", clock=clock):
        await clock.advance(5)
    assert len(jobs(server)) == 1
    assert [ref.name for ref in status(server).active] == jobs(server)
