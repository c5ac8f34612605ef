"""Every process is restarted, one after the other: no request that is made again once fails, no connection ends."""

from __future__ import annotations

import json

import pytest

from kubelab.cluster.local import LocalCluster
from tests.e2e.steady import all_well, deploy, restart, under_load
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.root

UP = "--control-planes 3 --nodes 4"
MADE_AGAIN = 3  # writes that cross a GOAWAY on the wire, or whose member of etcd ends before it answers


@pytest.fixture(scope="module")
def address(terminal: Terminal) -> tuple[str, int]:
    """Where this machine reaches pods that tick, through a service."""
    return deploy(terminal)


async def test_a_rolling_restart_of_everything_is_not_noticed(terminal: Terminal, address: tuple[str, int]) -> None:
    async with (
        LocalCluster.find(terminal.cluster, folder=terminal.home) as cluster,
        under_load(terminal, address) as (seen, informers),
    ):
        names = [name for name in await all_well(cluster) if "@" in name]
        assert len(names) == 4 * 3 + 3 * 4
        for name in names:
            await restart(cluster, name, seen)
        seen.during = "afterwards"
    told = json.dumps({"counts": seen.counts, "made again": seen.made_again}, indent=1)
    assert not seen.failed, "\n".join([*seen.failed, told])
    assert len(seen.made_again) <= MADE_AGAIN, told
    relists = {name: informer.relists for name, informer in informers.items()}
    assert relists == dict.fromkeys(relists, 1), "informers go on where they were"
