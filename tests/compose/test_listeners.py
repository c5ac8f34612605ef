"""A control plane of containers: bounds by source, no capability, certificates that are renewed in time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from kubelab.topology.listeners import PER_NODE
from tests.compose.project import Project, docker
from tests.e2e import flooding
from tests.e2e.terminal import Terminal, eventually

CONTROL_PLANE = {"etcd": 2379, "api-server": 6443, "scheduler": 10259, "controller-manager": 10257}
# Makes one certificate anew that ends tomorrow, as if a year had gone by.
NEAR_ITS_END = """
import datetime
from ipaddress import IPv4Network
from pathlib import Path
from kubelab.pki import certificates, layout
folder = Path("/pki/authority")
cluster = layout.CertificateLayout(IPv4Network("{network}.0/24"), 3, 3)
one = next(i for i in certificates.identities(cluster.nodes, cluster.names) if i.file == "scheduler@cp-1")
now = datetime.datetime.now(datetime.UTC)
certificates.issue(folder, one, certificates.authority(folder, "ca"), now, datetime.timedelta(days=1))
"""


@pytest.mark.parametrize("service", CONTROL_PLANE)
def test_a_flood_from_a_node_gets_a_nodes_share(project: Project, terminal: Terminal, service: str) -> None:
    node, port = project.container("node-1"), CONTROL_PLANE[service]
    command = ["docker", "exec", node, "python3", "-c", flooding.PROGRAM, service, str(port), "600", "idle"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        try:
            assert flood.stdout
            held = int(flood.stdout.readline().rpartition(":")[2])
            assert held <= PER_NODE
            terminal.type("kctl get pods")
        finally:
            docker("exec", node, "pkill", "-f", f"^python3 -c.* {service} {port} ", code=None)
            flood.kill()


@pytest.mark.parametrize("service", CONTROL_PLANE)
def test_the_process_has_no_capability_and_gets_none(project: Project, service: str) -> None:
    container = next(c for c in project.containers() if c["Id"] == project.container(service))
    status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_certificates_are_renewed_while_the_cluster_runs(project: Project, terminal: Terminal) -> None:
    keeper, scheduler = project.container("certificates"), project.container("scheduler")
    where = "/etc/kubelab/scheduler@cp-1/client.crt"
    first = docker("exec", scheduler, "cat", where)
    docker("exec", keeper, "python3", "-c", NEAR_ITS_END.format(network=project.network))
    project.compose("restart", "certificates")
    eventually(lambda: docker("exec", scheduler, "cat", where) != first, what="a certificate that was renewed")
    assert terminal.type("kubelab status", code=None).code == 0
