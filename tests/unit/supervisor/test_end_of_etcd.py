"""The order in which etcd's members end with their cluster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from kubelab.supervisor.supervisor import end_members


@dataclass
class Member:
    name: str
    order: list[str]

    async def end(self) -> None:
        self.order.append(f"{self.name} is told")
        for _ in range(3):  # the others go on meanwhile
            await asyncio.sleep(0)
        self.order.append(f"{self.name} has ended")


@pytest.mark.parametrize("leader", ["a", "b", "c"])
async def test_the_member_that_leads_is_told_to_end_when_the_others_have_ended(leader: str) -> None:
    order: list[str] = []
    await end_members({name: Member(name, order) for name in "abc"}, leader)
    assert order[-2:] == [f"{leader} is told", f"{leader} has ended"]
    followers = sorted({"a", "b", "c"} - {leader})
    assert order[:2] == [f"{name} is told" for name in followers], "they end at the same time"
    assert len(order) == 6


@pytest.mark.parametrize("leader", ["", "d"])
async def test_without_a_leader_that_is_known_all_end_at_once(leader: str) -> None:
    order: list[str] = []
    await end_members({name: Member(name, order) for name in "abc"}, leader)
    assert order[:3] == ["a is told", "b is told", "c is told"]
    assert len(order) == 6
