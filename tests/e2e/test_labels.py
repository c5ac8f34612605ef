"""The chapter on labels: how they are shown, and what a selector finds, in every spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.terminal import Terminal, Tutorial, eventually

STOP_SIGNAL = "SIGKILL"
SELECTORS = (
    "--selector='app=node'",
    "--selector app=node",
    "-l='app=node'",
    "--l='app=node'",
    "-l app=node",
    "-lapp=node",
)
COLUMNS = ("--label-columns='app'", "-L='app'", "-L app")


@pytest.fixture(scope="module")
def labelled(tutorial: Tutorial) -> Iterator[Terminal]:
    """The chapter's pod behind the service that the first chapter has made."""
    terminal = tutorial.terminal
    terminal.type("kctl create service loadbalancer node --tcp=80:8080")
    assert terminal.type("kctl create -f assets/00001/00001.yml").stdout == "pod/app-node created\n"
    terminal.running("app=node", 1)
    yield terminal
    deleted = terminal.type("kctl delete pods app-node")
    assert deleted.stdout == 'pod "app-node" deleted\n'
    terminal.type("kctl delete service node")


def test_labels_are_a_column(labelled: Terminal) -> None:
    shown = labelled.type("kctl get pods --show-labels")
    assert shown.rows[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "LABELS"]
    assert shown.rows[1][:3] == ["app-node", "1/1", "Running"]
    assert shown.rows[1][-1] == "app=node"


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_selector_finds_the_pod(labelled: Terminal, selector: str) -> None:
    assert [row[0] for row in labelled.type(f"kctl get pods {selector}").rows] == ["NAME", "app-node"]
    none = labelled.type(f"kctl get pods {selector.replace('node', 'other')}")
    assert none.stderr == "No resources found in default namespace.\n"


@pytest.mark.parametrize("column", COLUMNS)
def test_a_label_is_a_column(labelled: Terminal, column: str) -> None:
    for selector in ("--selector='app=node'", "--l='app=node'"):
        table = labelled.type(f"kctl get pods {selector} {column}").rows
        assert table[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "APP"]
        assert table[1][-1] == "node"


def test_the_same_on_services(labelled: Terminal) -> None:
    table = labelled.type("kctl get service --selector='app=node' --show-labels").rows
    # A column is two or three blanks wide here: the cells are short.
    assert [row[0] for row in table] == ["NAME", "node"]
    assert (table[0][-1], table[1][-1]) == ("LABELS", "app=node")
    described = labelled.type("kctl describe service node").stdout
    assert re.match(
        r"Name: +node\nNamespace: +default\nLabels: +app=node\nAnnotations: +<none>\nSelector: +app=node\n", described
    )

    def has_endpoint() -> re.Match[str] | None:
        return re.search(r"Endpoints: +10\.244\.\d+\.\d+:8080", labelled.type("kctl describe svc node").stdout)

    eventually(has_endpoint)
