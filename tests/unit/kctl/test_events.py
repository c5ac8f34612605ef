"""``kctl events``, ``top``, ``certificate``, ``api-versions`` and ``cluster-info dump``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell

EVENTS = """\
apiVersion: v1
kind: Event
metadata: {name: web.1, namespace: default}
involvedObject: {kind: Pod, name: web, namespace: default}
reason: Started
type: Normal
message: Started container main
count: 3
firstTimestamp: "2024-05-01T11:50:00Z"
lastTimestamp: "2024-05-01T11:59:00Z"
---
apiVersion: v1
kind: Event
metadata: {name: db.1, namespace: default}
involvedObject: {kind: Pod, name: db, namespace: default}
reason: Failed
type: Warning
message: "no image\\nreally"
eventTime: "2024-05-01T11:55:00.000000Z"
---
apiVersion: v1
kind: Event
metadata: {name: x.1, namespace: other}
involvedObject: {kind: Service, name: x, namespace: other}
reason: Sync
type: Normal
message: synced
firstTimestamp: "2024-05-01T11:00:00Z"
lastTimestamp: "2024-05-01T11:00:00Z"
"""


@pytest.fixture
def happened(shell: Shell) -> Shell:
    shell.add(EVENTS)
    return shell


def test_events_of_a_namespace(happened: Shell) -> None:
    assert happened("events").stdout == (
        "LAST SEEN           TYPE      REASON    OBJECT    MESSAGE\n"
        "5m                  Warning   Failed    Pod/db    no image...\n"
        "60s (x3 over 10m)   Normal    Started   Pod/web   Started container main\n"
    )


def test_events_of_all_namespaces(happened: Shell) -> None:
    lines = happened("events", "-A", "--no-headers").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["other", "default", "default"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("--types=warning", ["db.1"]),
        ("--types Normal,Warning", ["db.1", "web.1"]),
        ("--for pod/web", ["web.1"]),
        ("--for po/none", []),
        ("-A", ["x.1", "db.1", "web.1"]),
    ],
)
def test_which_events(happened: Shell, words: str, names: list[str]) -> None:
    document = json.loads(happened("events", *words.split(), "-o", "json").stdout)
    assert [item["metadata"]["name"] for item in document["items"]] == names


def test_no_events(shell: Shell) -> None:
    assert shell("events").stderr == "No events found in default namespace.\n"
    assert shell("events", "-A").stderr == "No events found.\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("events --types=Odd", "error: valid --types are Normal or Warning\n"),
        ("events --for web", "error: --for must be in resource/name form\n"),
        ("events --for spoon/web", 'error: the server doesn\'t have a resource type "spoon"\n'),
        ("top pod", "error: Metrics API not available\n"),
        ("top no", "error: Metrics API not available\n"),
        ("top pods --sort-by=name", "error: --sort-by accepts only cpu or memory\n"),
        ("certificate approve", "error: one or more CSRs must be specified as <name> or -f <filename>\n"),
    ],
)
def test_refused(shell: Shell, words: str, error: str) -> None:
    outcome = shell(*words.split())
    assert (outcome.code, outcome.stderr) == (1, error)


def test_api_versions(shell: Shell) -> None:
    versions = shell("api-versions").stdout.splitlines()
    assert versions == sorted(versions)
    assert {"v1", "apps/v1", "coordination.k8s.io/v1"} <= set(versions)


def test_dump_into_a_folder(shell: Shell, tmp_path: Path) -> None:
    shell.server.add(make_pod("web"))
    shell.server.logs[("default", "web")] = b"hello\n"
    folder = tmp_path / "state"
    assert shell("cluster-info", "dump", f"--output-directory={folder}").stdout == f"Cluster info dumped to {folder}\n"
    assert json.loads((folder / "nodes.json").read_text())["kind"] == "List"
    assert json.loads((folder / "default/pods.json").read_text())["items"][0]["metadata"]["name"] == "web"
    assert (folder / "default/web/logs.txt").read_text() == (
        "==== START logs for container main of pod default/web ====\nhello\n"
        "==== END logs for container main of pod default/web ====\n"
    )
    assert (folder / "kube-system/pods.json").exists()
    refused = shell("cluster-info", "dump", "--output-directory=/dev/null/x")
    assert refused.stderr.startswith("error: /dev/null/x/nodes.json: ")
    only = shell("cluster-info", "dump", "--namespaces=default", "-o", "name").stdout
    assert "pod/web\n" in only
