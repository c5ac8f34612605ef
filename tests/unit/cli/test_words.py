"""Which process, which node, which size is meant."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from kubelab.apimachinery.errors import NotFound
from kubelab.cli.image import _rows, loaded, size_text
from kubelab.cli.logs import find
from kubelab.cli.shell import choose
from kubelab.cluster.driver import ClusterNode, Process, ProcessState
from kubelab.cri.runtime.v1 import api_pb2 as cri

PROCESSES = [
    Process(name, name.partition("@")[0], name.partition("@")[2], 1, 0.0, 0, ProcessState.RUNNING)
    for name in ("supervisor", "api-server@cp-1", "controller-manager@cp-1", "kubelet@cp-1", "kubelet@node-1")
]
NODES = [ClusterNode(name, "", Path("/n"), Path("/r")) for name in ("cp-1", "node-1")]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("kubelet@node-1", "kubelet@node-1"),
        ("api-server", "api-server@cp-1"),
        ("apiserver", "api-server@cp-1"),
        ("supervisor", "supervisor"),
    ],
)
def test_a_process_is_found_by_its_name_or_its_component(word: str, name: str) -> None:
    assert find(PROCESSES, word) == name


@pytest.mark.parametrize(
    ("word", "says"), [("kubelet", "kubelet@cp-1, kubelet@node-1"), ("dns", 'no process "dns"; there are: supervisor')]
)
def test_what_is_not_clear_is_refused_with_the_choices(word: str, says: str) -> None:
    with pytest.raises(click.UsageError, match=says):
        find(PROCESSES, word)


@pytest.mark.parametrize(
    ("words", "node", "command"),
    [
        ([], "cp-1", []),
        (["node-1"], "node-1", []),
        (["node-1", "ip", "addr"], "node-1", ["ip", "addr"]),
        (["ip", "addr"], "cp-1", ["ip", "addr"]),
        (["ip"], "cp-1", ["ip"]),
        (["nope", "addr"], "cp-1", ["nope", "addr"]),
    ],
)
def test_a_first_word_that_names_a_node_is_the_node(words: list[str], node: str, command: list[str]) -> None:
    found, told = choose(NODES, words, is_program=lambda _, word: word == "ip")
    assert (found.name, told) == (node, command)


def test_a_word_that_is_neither_a_node_nor_a_program_was_meant_as_a_node() -> None:
    with pytest.raises(NotFound, match='node "nope" not found; there are: cp-1, node-1'):
        choose(NODES, ["nope"], is_program=lambda _, word: word == "ip")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (1450, "1.45kB"), (123456789, "123MB"), (5e9, "5GB")]
)
def test_sizes_read_like_crictl_s(size: int, text: str) -> None:
    assert size_text(size) == text


def test_an_image_is_told_by_its_name_or_its_id() -> None:
    assert loaded("app:1") == "Loaded image: app:1"
    assert loaded("sha256:12") == "Loaded image ID: sha256:12"


@pytest.mark.parametrize(
    ("tags", "digests", "rows"),
    [
        (["r:5000/a:1", "b:2"], ["r:5000/a@sha256:0"], [("r:5000/a", "1"), ("b", "2")]),
        ([], ["a@sha256:0", "a@sha256:1"], [("a", "<none>")]),
        ([], [], [("<none>", "<none>")]),
    ],
)
def test_images_without_a_tag_or_a_name_are_listed_as_docker_does(
    tags: list[str], digests: list[str], rows: list[tuple[str, str]]
) -> None:
    image = cri.Image(id="sha256:0123456789abcdef", repo_tags=tags, repo_digests=digests, size=5)
    assert [*_rows(image)] == [(*row, "0123456789abc", "5B") for row in rows]
