"""What the job controller decides, table by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.batch import indexes
from kubelab.apimachinery.batch.jobs import COMPLETION_INDEX, TRACKING
from kubelab.controllermanager.job import decide
from kubelab.controllermanager.job.backoff import BackoffRecord, remaining
from kubelab.controllermanager.job.view import view
from tests.support import objects as make

NOW = 1_000_000.0


@given(st.sets(st.integers(0, 60)))
def test_indexes_as_text_and_back(some: set[int]) -> None:
    intervals = indexes.parse(indexes.text(some), 61)
    assert indexes.known(indexes.text(some), 61) == some
    assert indexes.size(intervals) == len(some) == indexes.among(range(-1, 70), intervals)


def test_millions_of_indexes_cost_nothing() -> None:
    most = 2**31 - 1
    intervals = indexes.parse(f"0-5,7-{most - 1}", most)
    assert (indexes.size(intervals), indexes.among({5, 6, 7, most}, intervals)) == (most - 1, 2)


@pytest.mark.parametrize(
    ("some", "text"), [([], ""), ([3], "3"), ([0, 1], "0,1"), ([1, 3, 4, 5, 7], "1,3-5,7"), ([0, 1, 2], "0-2")]
)
def test_neighbours(some: list[int], text: str) -> None:
    assert indexes.text(some) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", 'cannot convert string to integer for index: "a"'),
        ("1,", 'cannot convert string to integer for index: ""'),
        ("10", 'too large index: "10"'),
        ("3,2", "non-increasing order, previous: 3, current: 2"),
        ("5-5", "non-increasing order, previous: 5, current: 5"),
        ("1-2-3", 'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts'),
    ],
)
def test_what_is_no_list_of_indexes(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 — the message is compared below
        indexes.parse(text, 10)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.0), (1, 10.0), (2, 20.0), (4, 80.0), (7, 600.0), (1000, 600.0)]
)
def test_the_delay_doubles(failures: int, seconds: float) -> None:
    assert remaining(failures, NOW, NOW) == seconds
    assert remaining(failures, NOW - 5, NOW) == max(seconds - 5, 0)


def test_a_success_ends_the_delay() -> None:
    record = BackoffRecord().after([], [1.0, 2.0])
    assert record == BackoffRecord(2, 2.0)
    assert record.after([3.0], []) == BackoffRecord()
    assert record.after([3.0], [2.5, 4.0]) == BackoffRecord(1, 4.0)


def job(*, indexed: bool = False, **spec: int) -> batch_pb2.Job:
    made = batch_pb2.Job()
    made.metadata.name, made.metadata.namespace, made.metadata.uid = "pi", "default", "uid-of-pi"
    made.spec.backoffLimit = 6
    made.spec.completionMode = "Indexed" if indexed else "NonIndexed"
    for name, value in spec.items():
        setattr(made.spec, name, value)
    return made


def pod(name: str, phase: str = "Running", index: int | None = None) -> core_pb2.Pod:
    made = make.pod(name, phase=phase, created=1)
    made.metadata.finalizers.append(TRACKING)
    if index is not None:
        made.metadata.annotations[COMPLETION_INDEX] = str(index)
    return made


@pytest.mark.parametrize(
    ("spec", "running", "succeeded", "create", "delete"),
    [
        ({"parallelism": 3, "completions": 5}, 0, 0, 3, 0),
        ({"parallelism": 3, "completions": 5}, 1, 3, 1, 0),
        ({"parallelism": 3, "completions": 5}, 2, 4, 0, 1),
        ({"parallelism": 3, "completions": 5}, 0, 5, 0, 0),
        ({"parallelism": 1, "completions": 5}, 3, 0, 0, 2),
        ({"parallelism": 0, "completions": 5}, 1, 0, 0, 1),
        ({"parallelism": 3}, 1, 0, 2, 0),  # a work queue
        ({"parallelism": 3}, 2, 1, 0, 0),  # one has found it empty: the others go on, and no more are made
    ],
)
def test_how_many_pods(spec: dict[str, int], running: int, succeeded: int, create: int, delete: int) -> None:
    pods = [pod(f"r{n}") for n in range(running)] + [pod(f"s{n}", "Succeeded") for n in range(succeeded)]
    todo = decide.plan(view(job(indexed=False, **spec), pods), BackoffRecord(), NOW)
    assert (len(todo.create), len(todo.delete)) == (create, delete)


def test_two_pods_of_one_index_and_a_strange_one_go() -> None:
    spec = job(indexed=True, parallelism=3, completions=3)
    pods = [pod("a", index=0), pod("b", index=0), pod("c", index=7), pod("d", index=1)]
    todo = decide.plan(view(spec, pods), BackoffRecord(), NOW)
    assert len(todo.delete) == 2
    assert {"c"} < {one.metadata.name for one in todo.delete} < {"a", "b", "c"}


def test_a_pod_that_is_being_deleted_holds_its_place_where_only_failed_ones_are_replaced() -> None:
    leaving = pod("a")
    leaving.metadata.deletionTimestamp.seconds = 1
    spec = job(parallelism=1, completions=1)
    assert len(decide.plan(view(spec, [leaving]), BackoffRecord(), NOW).create) == 1
    spec.spec.podReplacementPolicy = "Failed"
    assert decide.plan(view(spec, [leaving]), BackoffRecord(), NOW) == decide.Plan()


@pytest.mark.parametrize(("limit", "restarts", "fails"), [(0, 0, False), (0, 1, True), (3, 2, False), (3, 3, True)])
def test_restarts_count_where_containers_are_restarted(limit: int, restarts: int, fails: bool) -> None:
    spec = job(parallelism=1, completions=1, backoffLimit=limit)
    spec.spec.template.spec.restartPolicy = "OnFailure"
    running = make.pod("a", phase="Running", restarts=restarts)
    assert (decide.ending(view(spec, [running]), NOW) is not None) is fails
