"""Kill each kind of process under steady requests: what runs goes on, the process comes back, nothing runs twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, eventually, fetch, try_fetch

KINDS = [
    "etcd@cp-1",
    "api-server@cp-1",
    "scheduler@cp-1",
    "controller-manager@cp-1",
    "kubelet@node-1",
    "kube-proxy@node-1",
    "runtime@node-1",
    "zygote",
]


@dataclass
class Load:
    """Requests one after the other until told to stop."""

    url: str
    answers: list[str] = field(default_factory=list[str])
    errors: list[str] = field(default_factory=list[str])
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.answers.append(json.loads(fetch(self.url, deadline=5))["data"].split()[-1])
            except OSError as err:
                self.errors.append(repr(err))
            self.stop.wait(0.02)


@contextlib.contextmanager
def steady_requests(url: str) -> Generator[Load]:
    load = Load(url)
    thread = threading.Thread(target=load.run, name="load")
    thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        thread.join()


def processes(terminal: Terminal) -> dict[str, dict[str, object]]:
    answer = terminal.type("kubelab status -o json", code=None)
    return {process["name"]: process for process in json.loads(answer.stdout)["processes"]}


@pytest.fixture(scope="module")
def url(terminal: Terminal) -> str:
    terminal.type(f"kubelab image build -t kubelab/hello:v-1.0.0 {OWN_FILES}/00000")
    terminal.type(f"kctl create -f {OWN_FILES}/00002/00002.yml")
    terminal.type("kctl create -f -", stdin=SERVICE)
    terminal.running("app=replicas", 3)
    url = terminal.url("replicas")
    eventually(lambda: try_fetch(url))
    return url


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: replicas}
spec:
  type: NodePort
  selector: {app: replicas}
  ports:
  - port: 8080
"""


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_process_comes_back_and_nothing_else_notices(terminal: Terminal, url: str, name: str) -> None:
    before = processes(terminal)[name]
    pods = {row[0]: row[3] for row in terminal.running("app=replicas", 3)}
    with steady_requests(url) as load:
        os.kill(int(str(before["pid"])), signal.SIGKILL)

        def back() -> bool:
            now = processes(terminal)[name]
            return now["pid"] != before["pid"] and now["health"] == "Healthy"

        eventually(back, what=f"{name} back and healthy")
        # and it works again: a pod goes away and another takes its place
        victim = min(pods)
        eventually(lambda: terminal.type(f"kctl delete pod {victim} --wait=false", code=None).code == 0)
        seen = len(load.answers)
        after = terminal.running("app=replicas", 3)
        eventually(lambda: len(load.answers) >= seen + 10)
    assert victim not in {row[0] for row in after}
    survivors = {row[0]: row[3] for row in after if row[0] in pods}
    assert survivors == {pod: pods[pod] for pod in pods if pod != victim}, "no container was restarted"
    # while a backend goes, a request or two may meet it on its way out; the kill itself costs none
    assert len(load.errors) <= 3, load.errors
    assert int(str(processes(terminal)[name]["restarts"])) >= 1


def test_the_supervisor_is_killed(terminal: Terminal, url: str) -> None:
    before = processes(terminal)
    os.kill(int(str(before["supervisor"]["pid"])), signal.SIGKILL)

    def back() -> bool:
        answer = terminal.type("kubelab status -o json", code=None)
        return answer.code == 0 and processes(terminal)["supervisor"]["pid"] != before["supervisor"]["pid"]

    eventually(back)
    now = processes(terminal)
    assert {n: p["pid"] for n, p in now.items() if n != "supervisor"} == {
        n: p["pid"] for n, p in before.items() if n != "supervisor"
    }
    eventually(lambda: try_fetch(url), what="the tunnel is open again at the same address")


def test_objects_and_pods_survive_down_and_up(terminal: Terminal, url: str) -> None:
    uid = terminal.type("kctl get rc replication-controller -o yaml").stdout.split("uid: ")[1].split()[0]
    terminal.type(f"kubelab down --name {terminal.cluster}")
    terminal.type("kctl get pods", code=1)
    terminal.type(f"kubelab up --name {terminal.cluster}")
    assert uid in terminal.type("kctl get rc replication-controller -o yaml").stdout
    terminal.running("app=replicas", 3)
    again = terminal.url("replicas")
    eventually(lambda: try_fetch(again))
