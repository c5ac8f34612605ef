"""Priority classes: those of the system, the default one, and what pods get of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import PRIORITY_CLASSES
from kubelab.client.client import Client
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    async with ApiServerInMemory().client("kctl") as client:
        for made in (priority_class("high", 1000), priority_class("shy", 500, preemptionPolicy="Never")):
            await client.create(made)
        yield client


def priority_class(name: str, value: int, **fields: object) -> scheduling_pb2.PriorityClass:
    made = scheduling_pb2.PriorityClass(value=value, **fields)  # type: ignore[arg-type]
    made.metadata.name = name
    return made


def pod(name: str = "web", priority_class: str = "", **fields: object) -> core_pb2.Pod:
    made = make.pod(name)
    made.spec.priorityClassName = priority_class
    for field, value in fields.items():
        setattr(made.spec, field, value)
    return made


@pytest.mark.parametrize(
    ("name", "value", "policy"),
    [
        ("", 0, "PreemptLowerPriority"),
        ("high", 1000, "PreemptLowerPriority"),
        ("shy", 500, "Never"),
        ("system-node-critical", 2_000_001_000, "PreemptLowerPriority"),
    ],
)
async def test_a_pod_gets_its_classs_number(client: Client, name: str, value: int, policy: str) -> None:
    if name.startswith("system"):
        await client.create(priority_class(name, value))
    made = await client.create(pod(priority_class=name))
    assert (made.spec.priority, made.spec.preemptionPolicy) == (value, policy)


async def test_the_default_class_is_for_pods_that_name_none(client: Client) -> None:
    await client.create(priority_class("usual", 7, globalDefault=True))
    made = await client.create(pod())
    assert (made.spec.priorityClassName, made.spec.priority) == ("usual", 7)
    why = "PriorityClass usual is already marked as default. Only one default can exist"
    with pytest.raises(errors.Forbidden, match=why):
        await client.create(priority_class("another", 8, globalDefault=True))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (pod(priority_class="nope"), 'pods "web" is forbidden: no PriorityClass with name nope was found'),
        (
            pod(priority_class="high", priority=5),
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller "
            "computed 1000 from the given PriorityClass name",
        ),
        (
            pod(priority_class="high", preemptionPolicy="Never"),
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission "
            "controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ],
)
async def test_pods_that_are_refused(client: Client, made: core_pb2.Pod, message: str) -> None:
    with pytest.raises(errors.Forbidden) as caught:
        await client.create(made)
    assert message in caught.value.message


RESERVED = "priority class names with 'system-' prefix are reserved for system use only. error: "


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            priority_class("x", 1_000_000_001),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            priority_class("system-x", 1),
            f"metadata.name: Forbidden: {RESERVED}system-x is not a known system priority class",
        ),
        (
            priority_class("system-node-critical", 1),
            f"metadata.name: Forbidden: {RESERVED}value of system-node-critical PriorityClass must be 2000001000",
        ),
        (
            priority_class("x", 1, preemptionPolicy="Maybe"),
            'preemptionPolicy: Unsupported value: "Maybe": supported values: "Never", "PreemptLowerPriority"',
        ),
    ],
)
async def test_classes_that_are_refused(client: Client, made: scheduling_pb2.PriorityClass, message: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await client.create(made)
    assert message in caught.value.message


async def test_a_class_keeps_its_value(client: Client) -> None:
    made = await client.get(PRIORITY_CLASSES, "high")
    made.value = 2000
    with pytest.raises(errors.Invalid, match="value: Forbidden: may not be changed in an update"):
        await client.update(made)
    made.value, made.description = 1000, "for what matters"
    assert (await client.update(made)).description == "for what matters"
