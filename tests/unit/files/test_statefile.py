"""Every small file that a cluster reads, damaged in every way: one sentence, or it is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubelab.cluster import laststarted
from kubelab.cluster.composerecord import ComposeRecord
from kubelab.files import statefile
from kubelab.runtime.images import storefiles
from kubelab.runtime.pods import state
from kubelab.supervisor import processes
from kubelab.topology.record import Record, RecordError, names
from kubelab.tunnels.model import TUNNELS_FILE

Damage = Callable[[Path], object]


def folder(path: Path) -> None:
    path.mkdir()
    (path / "something").write_text("x")


DAMAGES: dict[str, Damage] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_text('{"pid": 12, "name'),
    "not JSON": lambda path: path.write_text("hello: ["),
    "a list": lambda path: path.write_text("[1, 2]"),
    "an empty object": lambda path: path.write_text("{}"),
    "null": lambda path: path.write_text("null"),
    "a list of lists": lambda path: path.write_text("[[1], {}]"),
    "wrong types": lambda path: path.write_text(
        json.dumps({key: [{}] for key in ("id", "pid", "pod_cidr", "nodes", "settings", "trees", "exit_code")})
    ),
    "not UTF-8": lambda path: path.write_bytes(b'\xff\xfe{"pid": 1}'),
    "nested": lambda path: path.write_text("[" * 100_000),
    "a folder": folder,
}

READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    # name in the folder, how it is read; all of these count a broken file as none
    "the last started cluster": ("last-started", lambda path: laststarted.last(path.parent)),
    "a process's record": ("etcd@cp-1", lambda path: processes.read(path.parent, path.name)),
    "a process's restarts": ("etcd@cp-1", lambda path: processes.restarts_of(path.parent, path.name)),
    "the tunnels": ("tunnels.json", lambda path: statefile.read_or_forget(path, TUNNELS_FILE, lambda _: None)),
    "control groups": (state.CGROUPS, lambda path: state.read_groups(path.parent)),
    "an end": ("exit.json", lambda path: state.read_json(path, **state.ENDED)),
    "a start": ("laststarted.json", lambda path: state.read_json(path, **state.STARTED)),
    "names of images": ("names.json", lambda path: storefiles.file_names(set(storefiles.read_index(path).values()))),
    "a note": ("note", lambda path: storefiles.file_names(set(storefiles.read_note(path)))),
    "a pin": ("pin", lambda path: storefiles.file_names({storefiles.read_pin(path)})),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_made_anew_counts_as_not_there(tmp_path: Path, reader: str, damage: str) -> None:
    name, read = READERS[reader]
    DAMAGES[damage](tmp_path / name)
    found = read(tmp_path / name)
    assert not found or (reader == "the last started cluster" and damage not in ("empty", "not UTF-8", "a folder"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("load", [Record.load, ComposeRecord.load])
def test_a_broken_record_is_one_sentence(tmp_path: Path, load: Callable[[Path, str], object], damage: str) -> None:
    path = tmp_path / "clusters/lab/cluster.yaml"
    path.parent.mkdir(parents=True)
    DAMAGES[damage](path)
    if load == ComposeRecord.load and damage in ("an empty object", "wrong types"):
        assert load(tmp_path, "lab") is None  # not its own
        return
    with pytest.raises(RecordError) as caught:
        load(tmp_path, "lab")
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert told.endswith("put the file back as it was, or remove the cluster's folder to begin with a new one")
    assert "\n" not in told
    assert names(tmp_path) == ["lab"]


@pytest.mark.parametrize(
    "key", ["id", "nodes", "apiServerPorts", "settings", "driver", "projectDirectory", "project", "files"]
)
@pytest.mark.parametrize("value", [None, 5, -1, "word", [], [[]], {}, {"a": 1}, [None], True, 1e999])
@pytest.mark.parametrize("driver", ["", "compose"])
def test_any_value_of_a_record_loads_or_is_refused(tmp_path: Path, key: str, value: object, driver: str) -> None:
    path = tmp_path / "clusters/lab/cluster.yaml"
    path.parent.mkdir(parents=True)
    body: dict[str, object] = {"id": "0a1b2c3d", "nodes": ["cp-1"], "apiServerPorts": [6443], "settings": {}}
    if driver:
        body = {"driver": driver, "project": "p", "projectDirectory": "/p", "files": []}
    path.write_text(json.dumps({**body, key: value}))
    for load in (Record.load, ComposeRecord.load):
        refused = ""
        try:
            load(tmp_path, "lab")
        except RecordError as err:
            refused = str(err)
        assert not refused or str(path) in refused or "docker compose" in refused


@pytest.mark.parametrize("damage", DAMAGES)
def test_half_a_pod_is_removed(tmp_path: Path, damage: str) -> None:
    for kind, name in (("sandboxes", state.SANDBOX), ("containers", state.CONTAINER)):
        made = tmp_path / kind / "a1"
        made.mkdir(parents=True)
        DAMAGES[damage](made / name)
    assert state.load(tmp_path) == ({}, {})
    assert not list(tmp_path.glob("*/a1"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_file_is_put_aside_and_written_anew(tmp_path: Path, damage: str) -> None:
    path, told = tmp_path / "network.json", list[str]()
    for _ in range(2):
        DAMAGES[damage](path)
        assert statefile.read_or_forget(path, statefile.json_with(pod_cidr=str), told.append) is None
        state.write_json(path, {"pod_cidr": "10.0.0.0/24"})
        assert statefile.read_or_forget(path, statefile.json_with(pod_cidr=str), told.append)
        path.unlink()
    assert len(told) == 2
    assert told[0].startswith(f"{path}: ")
    assert "put aside as network.json.broken" in told[0]


def test_what_cannot_be_used_is_said_with_its_path() -> None:
    err = IsADirectoryError(21, "Is a directory", "/lab/config/etcd.yaml")
    assert statefile.in_words(err).startswith("/lab/config/etcd.yaml: is a directory; move it away")
