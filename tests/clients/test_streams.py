"""Connections through the api-server: forwarded ports and proxies, by kubectl and kctl."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator, Iterator

import pytest

from tests.e2e.terminal import Terminal, fetch, try_fetch

pytestmark = pytest.mark.timeout(600)
NAMESPACE = "streams"
PATH = f"/api/v1/namespaces/{NAMESPACE}"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "kubelab/web:1", ports: [{containerPort: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


@pytest.fixture(scope="module", autouse=True)
def web(lab: Terminal) -> Iterator[None]:
    lab.type(f"kctl create namespace {NAMESPACE}")
    lab.type(f"kctl apply -n {NAMESPACE} -f -", stdin=MANIFEST)
    lab.type(f"kctl wait -n {NAMESPACE} --for=condition=Ready pod/web --timeout=120s")
    yield
    lab.type(f"kctl delete namespace {NAMESPACE} --wait=false")


@contextlib.contextmanager
def serving(terminal: Terminal, command: str, ready: str) -> Generator[str]:
    """Run a command that serves until it is interrupted; gives what follows the ready words on its line."""
    with terminal.start(command) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert ready in line, line
            yield line.partition(ready)[2].split()[0]
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
@pytest.mark.parametrize("target", ["pod/web :8080", "service/web :80", "web :http"])
def test_port_forward(tools: Terminal, program: str, target: str) -> None:
    with serving(tools, f"{program} port-forward -n {NAMESPACE} {target}", "Forwarding from ") as address:
        for _ in range(3):
            assert fetch(f"http://{address}/etc/hostname") == "web\n"


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_a_port_that_refuses_is_told_and_ends_the_command(tools: Terminal, program: str) -> None:
    with tools.start(f"{program} port-forward -n {NAMESPACE} web :81") as process:
        assert process.stdout is not None
        address = process.stdout.readline().partition("Forwarding from ")[2].split()[0]
        assert try_fetch(f"http://{address}/") is None
        assert "an error occurred forwarding" in process.stdout.read()
    assert process.returncode == 1


def test_proxies(tools: Terminal) -> None:
    for target in ("pods/web:8080", "pods/web", "services/web", "services/web:80", "services/http:web:80"):
        assert tools.type(f"kubectl get --raw {PATH}/{target}/proxy/etc/hostname").stdout == "web\n"
    refused = tools.type(f"kubectl get --raw {PATH}/pods/web:81/proxy/", code=1)
    assert refused.stderr.startswith("Error from server (ServiceUnavailable): error trying to reach service: ")


@pytest.mark.parametrize("program", ["kubectl", "kctl"])
def test_proxy_of_the_api(tools: Terminal, program: str) -> None:
    with serving(tools, f"{program} proxy --port=0", "Starting to serve on ") as address:
        assert '"gitVersion"' in fetch(f"http://{address}/version")
        assert fetch(f"http://{address}{PATH}/services/web/proxy/etc/hostname") == "web\n"
