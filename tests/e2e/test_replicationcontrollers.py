"""The chapter on replication controllers."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e.terminal import Tutorial, eventually, fetch, try_fetch

POD = r"replication-controller-[bcdfghjklmnpqrstvwxz2456789]{5}"
STOP_SIGNAL = "SIGKILL"


@pytest.fixture(scope="module", autouse=True)
def three_pods_and_a_service(tutorial: Tutorial) -> None:
    tutorial.terminal.type("kctl delete rc,pod,service --all", deadline=120)


def test_three_pods_and_a_service_from_one_file(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    assert terminal.type("kctl create -f assets/00002/00001.yml").lines == [
        "pod/proceed-1 created",
        "pod/proceed-2 created",
        "pod/proceed-3 created",
        "service/replicas-service created",
    ]
    terminal.running("app=replicas", 3)

    def three_endpoints() -> re.Match[str] | None:
        described = terminal.type("kctl describe service replicas-service").stdout
        return re.search(r"^Endpoints: +(10\.244\.\d+\.\d+:8080,?){3}$", described, re.MULTILINE)

    eventually(three_endpoints)
    described = terminal.type("kctl describe service replicas-service").stdout
    for line in (
        r"Name: +replicas-service",
        r"Labels: +<none>",
        r"Selector: +app=replicas",
        r"Type: +ClusterIP",
        r"IP Family Policy: +SingleStack",
        r"IP Families: +IPv4",
        r"Port: +<unset> +8080/TCP",
        r"TargetPort: +8080/TCP",
        r"Session Affinity: +None",
        r"Events: +<none>",
    ):
        assert re.search(f"^{line}$", described, re.MULTILINE), (line, described)

    opened = terminal.type("kubelab service replicas-service").stdout
    assert "No node port" in opened
    assert "service default/replicas-service has no node port" in opened
    url = terminal.url("replicas-service")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    eventually(lambda: try_fetch(url))
    answers = [json.loads(fetch(url))["data"].split()[-1] for _ in range(6)]
    assert set(answers[:3]) == {"proceed-1", "proceed-2", "proceed-3"}
    assert answers[:3] == answers[3:]

    deleted = terminal.type("kctl delete po --all")
    assert deleted.lines == [f'pod "proceed-{n}" deleted' for n in (1, 2, 3)]


def test_a_controller_keeps_three_pods(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    created = terminal.type("kctl create -f assets/00002/00002.yml")
    assert created.stdout == "replicationcontroller/replication-controller created\n"
    pods = [row[0] for row in terminal.running("app=replicas", 3)]
    assert all(re.fullmatch(POD, pod) for pod in pods)
    for word in ("replicationcontroller", "rc"):

        def settled(word: str = word) -> list[list[str]] | None:
            rows = terminal.type(f"kctl get {word}").rows
            return rows if rows[1][:4] == ["replication-controller", "3", "3", "3"] else None

        assert eventually(settled)[0] == ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]

    url = terminal.url("replicas-service")
    eventually(
        lambda: {json.loads(try_fetch(url) or '{"data": ""}')["data"].split(" ")[-1] for _ in range(3)} == set(pods)
    )

    terminal.type(f"kctl delete pods {pods[0]}")
    after = [row[0] for row in terminal.running("app=replicas", 3)]
    assert pods[0] not in after
    assert set(pods[1:]) <= set(after)


def test_scale(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    scaled = terminal.type("kctl scale rc replication-controller --replicas=5")
    assert scaled.stdout == "replicationcontroller/replication-controller scaled\n"
    terminal.running("app=replicas", 5)
    terminal.type("kctl scale rc/replication-controller --replicas=2")
    terminal.running("app=replicas", 2)


def test_deleting_the_controller_takes_its_pods_along(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    deleted = terminal.type("kctl delete replicationcontroller replication-controller")
    assert deleted.stdout == 'replicationcontroller "replication-controller" deleted\n'
    eventually(lambda: terminal.type("kctl get pods").stderr == "No resources found in default namespace.\n")


def test_a_selector_that_does_not_match_is_refused(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    text = (terminal.folder / "assets/00002/00002.yml").read_text()
    wrong = re.sub(r"(labels:.*\n(?:\s*#.*\n)*\s*app: )replicas", r"\1others", text)
    assert wrong != text
    refused = terminal.type("kctl create -f -", stdin=wrong, code=1)
    assert (
        'The ReplicationController "replication-controller" is invalid: spec.template.metadata.labels' in refused.stderr
    )
    assert "`selector` does not match template `labels`" in refused.stderr
    assert terminal.type("kctl get rc").stderr == "No resources found in default namespace.\n"
