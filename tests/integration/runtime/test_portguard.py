"""Ports of the node's own processes, taken by pods on the node's network that never declared them."""

from __future__ import annotations

import signal

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.network.portguard import REASON
from tests.integration.runtime.lab import SECONDS, Lab

pytestmark = pytest.mark.root

TAKE = """
import signal, socket, sys
taken = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
taken.bind((sys.argv[1], int(sys.argv[2])))
if sys.argv[3] == "listen":
    taken.listen()
print("taken", flush=True)
signal.pause()
"""


def take(address: str, port: int, how: str) -> list[str]:
    return ["python3", "-c", TAKE, address, str(port), how]


async def sandbox_on_the_nodes_network(lab: Lab, name: str) -> str:
    config = lab.sandbox_config(name)
    config.linux.security_context.namespace_options.network = cri.NODE
    answer = await lab.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=SECONDS)
    return answer.pod_sandbox_id


@pytest.mark.parametrize(
    ("command", "port", "owner"),
    [
        (take("0.0.0.0", 6443, "listen"), 6443, "api-server"),
        (take("::", 2379, "listen"), 2379, "etcd"),
        (take("127.0.0.1", 10250, "bind"), 10250, "kubelet"),
        (["sh", "-c", f"(setsid python3 -c '{TAKE}' 0.0.0.0 10256 listen &) ; sleep 600"], 10256, "kube-proxy"),
    ],
    ids=["listening", "IPv6", "bound only", "in the background"],
)
async def test_who_takes_a_reserved_port_is_killed(lab: Lab, command: list[str], port: int, owner: str) -> None:
    sandbox = await sandbox_on_the_nodes_network(lab, "web")
    innocent = await lab.run(sandbox, "innocent", take("0.0.0.0", 8080, "listen"))
    guilty = await lab.run(sandbox, "guilty", command)
    status = await lab.ended(guilty)
    assert (status.exit_code, status.reason) == (128 + signal.SIGKILL, REASON)
    assert status.message == f"killed because it held port {port}, which is reserved for the node's {owner}"
    assert (await lab.status(innocent)).state == cri.CONTAINER_RUNNING
    await lab.kill()
    await lab.start()
    assert (await lab.status(guilty)).message == status.message, "it is written down"


async def test_a_pod_with_a_network_of_its_own_may_use_every_port(lab: Lab) -> None:
    own, nodes = await lab.sandbox("own"), await sandbox_on_the_nodes_network(lab, "nodes")
    free = await lab.run(own, "free", take("0.0.0.0", 6443, "listen"))
    guilty = await lab.run(nodes, "guilty", take("0.0.0.0", 6443, "listen"))
    assert (await lab.ended(guilty)).reason == REASON
    assert (await lab.status(free)).state == cri.CONTAINER_RUNNING
