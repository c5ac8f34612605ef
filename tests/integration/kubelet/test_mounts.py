"""What the kubelet mounts for volumes: memory, and parts of volumes that a container may have tampered with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.volumes import emptydir, subpaths
from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.kubelet.volumes.folders import Folders
from kubelab.kubelet.volumes.machine import MachineMounts

UID = "5f0c"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Folders]:
    """A node's folder, in which nothing is mounted at the end."""
    folders = Folders(tmp_path / "a node")
    folders.make(UID)
    yield folders
    MachineMounts().unmount_below(tmp_path)


def memory(node: Folders, size: str = "1Mi", group: int | None = None) -> Path:
    pod = core_pb2.Pod()
    pod.spec.containers.add(name="app")
    if group is not None:
        pod.spec.securityContext.fsGroup = group
    source = core_pb2.EmptyDirVolumeSource(medium="Memory")
    source.sizeLimit.string = size
    folder = node.volume(UID, "emptyDir", "m")
    emptydir.set_up(folder, node.ready(UID, "emptyDir", "m"), pod, source, MachineMounts())
    return folder


def test_memory_has_its_size_and_its_group_and_is_mounted_once(node: Folders) -> None:
    folder = memory(node, group=2000)
    about = folder.stat()
    assert (about.st_gid, about.st_mode & 0o7777) == (2000, 0o2777)
    (folder / "x").write_bytes(b"x" * 500_000)
    with pytest.raises(OSError, match="No space left"):
        (folder / "y").write_bytes(b"y" * 1_000_000)
    assert memory(node, group=2000) == folder
    assert MachineMounts().below(folder) == [folder]
    assert (folder / "x").exists()


def test_teardown_takes_mounts_away_before_folders(node: Folders, tmp_path: Path) -> None:
    """A part of the machine's own folders is mounted in the pod's: it has to stay."""
    precious = tmp_path / "host"
    (precious / "sub").mkdir(parents=True)
    (precious / "sub" / "file").write_text("kept")
    memory(node)
    subpaths.bind(precious, "sub", node.sub_path(UID, "h", "app", 0))
    assert (node.sub_path(UID, "h", "app", 0) / "file").read_text() == "kept"
    node.tear_down(UID, MachineMounts())
    node.tear_down(UID, MachineMounts())
    assert not node.exists(UID)
    assert (precious / "sub" / "file").read_text() == "kept"


def test_a_folder_that_is_missing_is_made_like_its_volume(node: Folders, tmp_path: Path) -> None:
    volume, place = tmp_path / "volume", node.sub_path(UID, "v", "app", 0)
    volume.mkdir()
    volume.chmod(0o2770)
    subpaths.bind(volume, "a/b", place)
    (place / "x").write_text("1")
    assert (volume / "a/b/x").read_text() == "1"
    assert (volume / "a/b").stat().st_mode & 0o7777 == 0o2770
    subpaths.bind(volume, "a/b", place)  # the container starts again
    assert MachineMounts().below(place) == [place]


def test_a_file_and_then_a_folder(node: Folders, tmp_path: Path) -> None:
    volume, place = tmp_path / "volume", node.sub_path(UID, "v", "app", 0)
    volume.mkdir()
    (volume / "x").write_text("file")
    subpaths.bind(volume, "x", place)
    assert place.read_text() == "file"
    (volume / "x").unlink()
    subpaths.bind(volume, "x", place)
    assert place.is_dir()


ESCAPES = {
    "a link to the machine": "/etc",
    "a link upwards": "../../../../etc",
    "a link to a link": "b",
    "a magic link": "/proc/self/root/etc",
}


@pytest.mark.parametrize("case", ESCAPES)
@pytest.mark.parametrize("path", ["a", "a/sub"])
def test_no_link_in_a_volume_leads_out_of_it(node: Folders, tmp_path: Path, case: str, path: str) -> None:
    volume, place = tmp_path / "volume", node.sub_path(UID, "v", "app", 0)
    volume.mkdir()
    (volume / "a").symlink_to(ESCAPES[case])
    (volume / "b").symlink_to("/etc")
    before = set(Path("/etc").iterdir())
    with pytest.raises((VolumeError, OSError)):
        subpaths.bind(volume, path, place)
    assert not MachineMounts().below(place)
    assert set(Path("/etc").iterdir()) == before
    (volume / "etc").mkdir()  # now the link leads somewhere inside
    if case != "a magic link":
        subpaths.bind(volume, path, place)
        assert not (place / "passwd").exists()


def test_mounts_are_made_where_the_machine_is(node: Folders, tmp_path: Path) -> None:
    """The kubelet in one mount namespace, the machine in another one: docker compose."""
    machine = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 60"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert machine.stdout is not None
        assert machine.stdout.readline() == "ready\n"
        mounts, place = MachineMounts(machine.pid), tmp_path / "memory"
        place.mkdir()
        mounts.tmpfs(place, "size=1m")
        assert mounts.is_mounted(place)
        assert not MachineMounts().is_mounted(place)
        mounts.do(lambda: (place / "x").write_text("there"))
        assert not (place / "x").exists()
        assert mounts.do((place / "x").read_text) == "there"
        mounts.unmount_below(tmp_path)
        assert not mounts.below(tmp_path)
    finally:
        machine.kill()
        machine.communicate()
