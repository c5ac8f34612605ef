"""The chapters on apiVersion, kind and short names: what ``api-resources`` lists can be got by each of its names."""

from __future__ import annotations

import re

import pytest

from tests.e2e.terminal import Terminal

# What the chapter shows, by name: short name, API version, whether in a namespace, kind.
SHOWN = {
    "bindings": ("", "v1", "true", "Binding"),
    "configmaps": ("cm", "v1", "true", "ConfigMap"),
    "endpoints": ("ep", "v1", "true", "Endpoints"),
    "events": ("ev", "v1", "true", "Event"),
    "namespaces": ("ns", "v1", "false", "Namespace"),
    "nodes": ("no", "v1", "false", "Node"),
    "pods": ("po", "v1", "true", "Pod"),
    "replicationcontrollers": ("rc", "v1", "true", "ReplicationController"),
    "services": ("svc", "v1", "true", "Service"),
}


def resources(terminal: Terminal, flags: str = "") -> dict[str, tuple[str, str, str, str]]:
    """The table, by its header's columns: a cell of SHORTNAMES may be empty."""
    header, *lines = terminal.type(f"kctl api-resources {flags}").lines
    assert re.split(r" {3,}", header) == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    starts = [header.index(word) for word in header.split()]
    cells = [[line[at:end].strip() for at, end in zip(starts, [*starts[1:], None], strict=True)] for line in lines]
    return {name: (short, version, namespaced, kind) for name, short, version, namespaced, kind in cells}


def test_the_table_has_what_the_chapter_shows(terminal: Terminal) -> None:
    found = resources(terminal)
    assert {name: found.get(name) for name in SHOWN} == SHOWN


@pytest.mark.parametrize("namespaced", ["true", "false"])
def test_the_namespaced_ones_and_the_others(terminal: Terminal, namespaced: str) -> None:
    found = resources(terminal, f"--namespaced={namespaced}")
    assert found
    assert {row[2] for row in found.values()} == {namespaced}


def test_what_is_listed_can_be_got_by_every_name(terminal: Terminal) -> None:
    """But for kinds that are only created, as bindings are: those answer as upstream's do."""
    listable = resources(terminal, "--verbs=list")
    for name, (shorts, _version, _namespaced, kind) in resources(terminal).items():
        words = ",".join((name, kind.lower(), *filter(None, shorts.split(","))))
        got = terminal.type(f"kctl get {words}", code=0 if name in listable else 1)
        if name in listable:
            assert got.stdout or got.stderr.startswith("No resources found"), str(got)
        else:
            expected = "the server does not allow this method on the requested resource"
            assert set(got.stderr.splitlines()) == {f"Error from server (MethodNotAllowed): {expected}"}
