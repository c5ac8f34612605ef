"""Everything but the only api-server and the only etcd is restarted: nobody notices, and nothing is made again."""

from __future__ import annotations

import json

import pytest

from kubelab.cluster.local import LocalCluster
from tests.e2e.steady import all_well, deploy, restart, under_load
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.root

ONLY_ONES = ("etcd@cp-1", "api-server@cp-1")
NODES = ("cp-1", "node-1", "node-2")


@pytest.fixture(scope="module")
def address(terminal: Terminal) -> tuple[str, int]:
    """Where this machine reaches pods that tick, through a service."""
    return deploy(terminal)


def kernel(terminal: Terminal, node: str) -> list[str]:
    """A node's rules and routes. kube-proxy writes all of its rules anew when it starts, in one transaction."""
    rules = terminal.type(f"kubelab shell {node} -- nft --stateless list ruleset").lines
    routes = terminal.type(f"kubelab shell {node} -- ip route").lines
    return sorted([*rules, *routes])  # nft lists chains in the order in which they were made


async def test_no_restart_of_the_others_is_noticed(terminal: Terminal, address: tuple[str, int]) -> None:
    before = {node: kernel(terminal, node) for node in NODES}
    assert any("numgen" in line for line in before["node-1"])
    async with (
        LocalCluster.find(terminal.cluster, folder=terminal.home) as cluster,
        under_load(terminal, address) as (seen, informers),
    ):
        names = [name for name in await all_well(cluster) if "@" in name and name not in ONLY_ONES]
        assert len(names) == 2 + 3 * 3
        for name in names:
            await restart(cluster, name, seen)
        seen.during = "afterwards"
    assert not seen.failed, "\n".join(seen.failed)
    assert not seen.made_again, json.dumps(seen.made_again, indent=1)
    relists = {name: informer.relists for name, informer in informers.items()}
    assert relists == dict.fromkeys(relists, 1), "informers go on where they were"
    for node, lines in before.items():
        assert kernel(terminal, node) == lines, node
