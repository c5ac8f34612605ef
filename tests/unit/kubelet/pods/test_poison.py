"""A kubelet among pods that no api-server would let in, bound to its node: those of others run."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import PODS
from tests.fuzz.objects import held
from tests.unit.kubelet.conftest import NODE, Lab, MakePod


@pytest.mark.parametrize("seed", range(4))
async def test_healthy_pods_run_among_the_poisonous(lab: Lab, make_pod: MakePod, seed: int) -> None:
    pick = random.Random(seed)
    for n in range(10):
        obj: Any = held(pick, PODS)
        obj.metadata.uid = f"poison-{n}"
        obj.spec.nodeName = NODE
        lab.api.add(obj)
    for resource in (scheme.SERVICES, scheme.CONFIG_MAPS, scheme.SECRETS):
        lab.api.add(*(held(pick, resource) for _ in range(3)))
    healthy = make_pod("healthy")
    healthy.metadata.namespace = "mine"
    lab.api.add(healthy)
    async with lab.kubelet():
        await lab.until(lambda: lab.pod("healthy", "mine").status.phase == "Running")
        late = make_pod("late")
        late.metadata.namespace = "mine"
        lab.api.add(late)
        await lab.until(lambda: lab.pod("late", "mine").status.phase == "Running")


async def test_a_name_that_is_too_long_for_a_folder_is_told_and_tried_again(lab: Lab, make_pod: MakePod) -> None:
    lab.api.add(make_pod("a" * 253))
    async with lab.kubelet():
        await lab.until(lambda: any("File name too long" in message for message in lab.told("FailedCreatePodSandBox")))
