"""The chapter on containers: two of them in one pod, behind a service with two named ports."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e import pythonindex
from tests.e2e.terminal import Terminal, Tutorial, eventually, fetch, try_fetch

STOP_SIGNAL = "SIGKILL"


@pytest.fixture(scope="module")
def second_image(tutorial: Tutorial, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The Python app's image. The tutorial's own Dockerfile installs Flask, here from an index of this machine."""
    terminal = tutorial.terminal
    build = f"kubelab image build -t {tutorial.image.replace('v-1.0.0', 'v-1.0.1')}"
    if not tutorial.base:
        terminal.type(f"{build} assets/00001/00005")
        return
    dockerfile = (terminal.folder / "assets/00001/00005/Dockerfile").read_text()
    with pythonindex.serving(tmp_path_factory.mktemp("index")) as settings:
        base, _, rest = dockerfile.partition("\n")
        told = terminal.type(
            f"{build} --base python:3.7=host --network host -f - assets/00001/00005",
            stdin=f"{base}\n{settings}{rest}",
            deadline=180,
        )
    assert "Successfully installed Flask-1.0" in told.stdout


@pytest.fixture(scope="module")
def app_server(tutorial: Tutorial, second_image: None) -> Terminal:
    """The chapter's service and its pod, which runs."""
    terminal = tutorial.terminal
    terminal.type("kctl delete service/app-service pod/app-server --ignore-not-found")  # of the other files
    assert terminal.type("kctl create -f assets/00001/00004.yml").stdout == "service/app-service created\n"
    row = terminal.type("kctl get service app-service --no-headers").rows[0]
    assert (row[1], row[3], row[4]) == ("ClusterIP", "<none>", "8080/TCP,8090/TCP")
    assert terminal.type("kctl create -f assets/00001/00005/00005.yml").stdout == "pod/app-server created\n"
    pods = terminal.running("app=app-server", 1)
    assert pods[0][:4] == ["app-server", "2/2", "Running", "0"]
    return terminal


def test_two_containers_share_one_network(app_server: Terminal) -> None:
    logs = app_server.type("kctl logs app-server")
    assert 'Defaulted container "node" out of: node, flask' in logs.stderr
    assert "server is running at http://127.0.0.1:8080" in logs.stdout
    containers = json.loads(app_server.type("kctl get pod app-server -o json").stdout)["spec"]["containers"]
    assert [port["containerPort"] for one in containers for port in one["ports"]] == [8080, 8090]


def test_the_service_has_no_endpoints_until_the_labels_match(app_server: Terminal) -> None:
    """The chapter's service selects labels that its pod does not have: that is said where one looks."""
    described = app_server.type("kctl describe service app-service").stdout
    assert len(re.findall(r"^Endpoints: +<none>$|^Endpoints: +$", described, re.MULTILINE)) == 2
    opened = app_server.type("kubelab service app-service")
    assert "service default/app-service has no endpoints: no ready pod matches its selector" in opened.stderr
    assert "(app=node,sub=flask); look at: kctl get pods -l app=node,sub=flask" in opened.stderr

    service = (app_server.folder / "assets/00001/00004.yml").read_text()
    matching = re.sub(r"  selector:.*", "  selector:\n    app: app-server\n", service, flags=re.DOTALL)
    app_server.type("kctl delete service app-service")
    app_server.type("kctl create -f -", stdin=matching)
    eventually(lambda: app_server.type("kubelab service app-service").stderr == "", what="endpoints")
    opened = app_server.type("kubelab service app-service")
    assert re.search(r"\| default +\| app-service +\| +\| No node port +\|", opened.stdout)
    assert "service default/app-service has no node port" in opened.stdout
    assert "Starting tunnel for service app-service." in opened.stdout
    urls = re.findall(r"http://127\.0\.0\.1:\d+", opened.stdout)
    assert len(urls) == 2
    answers = [json.loads(eventually(lambda url=url: try_fetch(url)))["data"] for url in urls]
    assert answers == [
        "Hello Kubernetes this is Container ID is app-server",
        "Hello Kubernetes this is Container ID(With Python) is app-server",
    ]
    assert fetch(urls[0]) == fetch(urls[0])
    app_server.type("kctl delete pod app-server --now")
