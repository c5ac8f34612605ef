"""The chapter on containers: two of them in one pod, behind a service with two named ports."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, eventually, fetch, try_fetch


@pytest.fixture(scope="module", autouse=True)
def images(terminal: Terminal) -> None:
    (terminal.folder / "assets").symlink_to(OWN_FILES)
    terminal.type("kubelab image build -t kubelab/hello:v-1.0.0 assets/00000")
    terminal.type("kubelab image build -t kubelab/hello:v-1.0.1 assets/00001/00005")


def test_two_containers_share_one_network(terminal: Terminal) -> None:
    assert terminal.type("kctl create -f assets/00001/00004.yml").stdout == "service/app-service created\n"
    assert terminal.type("kctl create -f assets/00001/00005/00005.yml").stdout == "pod/app-server created\n"
    rows = terminal.running("app=app-server", 1)
    assert rows[0][:3] == ["app-server", "2/2", "Running"]
    row = terminal.type("kctl get service app-service --no-headers").rows[0]
    assert row[4] == "8080/TCP,8090/TCP"
    logs = terminal.type("kctl logs app-server")
    assert "Defaulted container" in logs.stderr
    assert "server is running at http://127.0.0.1:8090" in terminal.type("kctl logs app-server -c flask").stdout


def test_the_service_has_no_endpoints_until_the_labels_match(terminal: Terminal) -> None:
    described = terminal.type("kctl describe service app-service").stdout
    assert len(re.findall(r"^Endpoints: +<none>$|^Endpoints: +$", described, re.MULTILINE)) == 2
    service = (OWN_FILES / "00001/00004.yml").read_text()
    matching = re.sub(r"  selector:.*", "  selector:\n    app: app-server\n", service, flags=re.DOTALL)
    terminal.type("kctl delete service app-service")
    terminal.type("kctl create -f -", stdin=matching)
    opened = terminal.type("kubelab service app-service").stdout
    assert "No node port" in opened
    urls = re.findall(r"http://127\.0\.0\.1:\d+", opened)
    assert len(urls) == 2
    answers = [json.loads(eventually(lambda url=url: try_fetch(url)))["data"] for url in urls]
    assert answers == [
        "Hello Kubernetes this is Container ID is app-server",
        "Hello Kubernetes this is Container ID(With Python) is app-server",
    ]
    assert fetch(urls[0]) == fetch(urls[0])
