"""Control groups: which a machine offers, where a pod's are, and what is written into them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.cgroups import groups, limits, machine, pods
from kubelab.runtime.cgroups.limits import LimitError
from kubelab.runtime.cgroups.machine import Offer, Tree

NAME = "kubelab/lab/node-1"
OFFER = Offer((Tree(1, ("memory",), "/m"),), {})


def proc(folder: Path, mounts: Mapping[str, str], own: str) -> Path:
    """A /proc/self; ``mounts``: folder → file system and its options, and which group is seen there."""
    made = folder / "proc"
    made.mkdir()
    lines: list[str] = []
    for at, kind in mounts.items():
        system, options, root = kind.split()
        (folder / at).mkdir(parents=True, exist_ok=True)
        lines.append(f"30 25 0:26 {root} {folder / at} rw,relatime shared:9 - {system} {system} {options}\n")
    (made / "mountinfo").write_text("22 1 0:21 / /proc rw - proc proc rw\n" + "".join(lines))
    (made / "cgroup").write_text(own)
    return made


def group(folder: Path, controllers: str, handed_on: str = "") -> Path:
    """A group of version 2, as far as a folder of files can be one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text(handed_on)
    return folder


ALL = "cpu memory pids"


def unified(top: Path, *, own: str, handed_on: Mapping[str, str]) -> None:
    """A hierarchy of version 2 in which the node's groups could be anywhere from its own group upwards."""
    for place in (Path(own), *Path(own).parents):
        group(top / place, ALL, handed_on.get(str(place), ""))
        folder = top / place
        for part in Path(NAME).parts:
            folder = group(folder / part, handed_on.get(str(place), ""), handed_on.get(str(place), ""))


def test_version_1_below_the_launchers_own_groups(tmp_path: Path) -> None:
    mounts = {"cpu": "cgroup rw,cpu,cpuacct /", "memory": "cgroup rw,memory /", "pids": "cgroup rw,pids /docker/x"}
    (tmp_path / "memory/jobs/7").mkdir(parents=True)
    own = "5:pids:/docker/x\n4:memory:/jobs/7\n2:cpu,cpuacct:/gone\n1:name=systemd:/\n0::/\n"
    offer = machine.find(NAME, proc=proc(tmp_path, mounts, own))
    assert offer == Offer(
        (
            Tree(1, ("cpu",), f"{tmp_path}/cpu/{NAME}"),
            Tree(1, ("memory",), f"{tmp_path}/memory/jobs/7/{NAME}"),
            Tree(1, ("pids",), f"{tmp_path}/pids/{NAME}"),
        ),
        {},
    )
    assert all(Path(tree.path).is_dir() for tree in offer.trees)


def test_version_2_at_the_nearest_group_that_hands_on(tmp_path: Path) -> None:
    unified(tmp_path / "u", own="user.slice/session", handed_on={"user.slice": ALL, ".": ALL})
    (tmp_path / "u/user.slice/session/cgroup.subtree_control").unlink()
    (tmp_path / "u/user.slice/session/cgroup.subtree_control").mkdir()  # not to be written, like one with processes
    offer = machine.find(NAME, proc=proc(tmp_path, {"u": "cgroup2 rw /"}, "0::/user.slice/session\n"))
    assert offer == Offer((Tree(2, ("cpu", "memory", "pids"), f"{tmp_path}/u/user.slice/{NAME}"),), {})


def test_version_2_with_what_is_delegated(tmp_path: Path) -> None:
    """As systemd gives a user: memory and pids, and cpu at the top alone, where nobody but root may write."""
    unified(tmp_path / "u", own="delegated", handed_on={"delegated": "memory pids"})
    (tmp_path / "u/delegated/cgroup.controllers").write_text("memory pids")
    (tmp_path / "u/cgroup.subtree_control").unlink()
    (tmp_path / "u/cgroup.subtree_control").mkdir()
    offer = machine.find(NAME, proc=proc(tmp_path, {"u": "cgroup2 rw /"}, "0::/delegated\n"))
    assert offer.trees == (Tree(2, ("memory", "pids"), f"{tmp_path}/u/delegated/{NAME}"),)
    assert offer.missing == {"cpu": f"{tmp_path}/u/delegated has no controller cpu"}


def test_hybrid(tmp_path: Path) -> None:
    unified(tmp_path / "u", own=".", handed_on={".": "memory pids"})
    (tmp_path / "u/cgroup.controllers").write_text("memory pids io")
    mounts = {"u": "cgroup2 rw /", "cpu": "cgroup rw,cpu /"}
    offer = machine.find(NAME, proc=proc(tmp_path, mounts, "1:cpu:/\n0::/\n"))
    assert [(tree.version, tree.controllers) for tree in offer.trees] == [(1, ("cpu",)), (2, ("memory", "pids"))]
    assert offer.missing == {}


@pytest.mark.parametrize(
    ("mounts", "why"),
    [
        ({}, "no control groups with it are mounted"),
        ({"u": "cgroup2 rw /"}, "no control groups with it are mounted"),
        ({"c": "cgroup rw,cpu,memory,pids /"}, "/c/kubelab cannot be made: File exists"),
    ],
    ids=["none", "without controllers", "not to be written"],
)
def test_a_machine_without(tmp_path: Path, mounts: Mapping[str, str], why: str) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/kubelab").touch()
    offer = machine.find(NAME, proc=proc(tmp_path, mounts, "0::/\n1:cpu,memory,pids:/\n"))
    assert offer.trees == ()
    assert {
        controller: told.removeprefix(str(tmp_path)) for controller, told in offer.missing.items()
    } == dict.fromkeys(("cpu", "memory", "pids"), why)


def test_groups_of_a_runtime_before_are_used_on(tmp_path: Path) -> None:
    known = Offer((Tree(1, ("pids",), str(tmp_path)),), {"cpu": "x"})
    assert machine.find(NAME, known, proc=Path("/no/such")) == known
    assert Offer.from_json(known.as_json()) == known


LIMITS = {"cpu_shares": 512, "cpu_quota": 50_000, "cpu_period": 100_000, "memory": 1024, "pids": 10}


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        (
            1,
            LIMITS,
            {
                "cpu.shares": "512",
                "cpu.cfs_period_us": "100000",
                "cpu.cfs_quota_us": "50000",
                "memory.limit_in_bytes": "1024",
                "memory.memsw.limit_in_bytes": "1024",
                "pids.max": "10",
            },
        ),
        (
            2,
            LIMITS,
            {
                "cpu.weight": "20",
                "cpu.max": "50000 100000",
                "memory.max": "1024",
                "memory.swap.max": "0",
                "memory.oom.group": "1",
                "pids.max": "10",
            },
        ),
        (1, {"cpu_period": 100_000}, {}),
        (2, {"cpu_period": 100_000}, {}),
    ],
)
def test_what_is_written(version: int, given: dict[str, int], expected: dict[str, str]) -> None:
    written = limits.files(version, limits.CONTROLLERS, given)
    assert dict(written) == expected
    assert len(written) == len(expected)


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262_144, 10_000), (0, 1), (10**9, 10_000)])
def test_shares_as_a_weight(shares: int, weight: int) -> None:
    assert limits.weight(shares) == weight


@pytest.mark.parametrize("value", ["0", "-1", "many", "", "9" * 30, "\N{DEVANAGARI DIGIT FOUR}"])
def test_numbers_of_processes_that_are_none(value: str) -> None:
    with pytest.raises(LimitError, match=r"pids\.max"):
        limits.of(cri.LinuxContainerResources(unified={"pids.max": value}))


def test_other_files_are_refused_rather_than_left_out() -> None:
    with pytest.raises(LimitError, match=r"memory\.high is not supported"):
        limits.of(cri.LinuxContainerResources(unified={"memory.high": "1"}))
    assert "pids" not in limits.of(cri.LinuxContainerResources(unified={"pids.max": "max"}))


def pod(parent: str, shares: int = 0) -> cri.PodSandboxConfig:
    resources = cri.LinuxContainerResources(cpu_shares=shares, memory_limit_in_bytes=5)
    linux = cri.LinuxPodSandboxConfig(cgroup_parent=parent, resources=resources)
    return cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(uid="a:b"), linux=linux)


def test_burstable_pods_share_what_they_ask_for_together() -> None:
    others = [pod("/kubepods/burstable/pod2", 300), pod("/kubepods/besteffort/pod3", 2), pod("/kubepods/pod4", 700)]
    made = pods.of_sandbox(OFFER, pod("/kubepods/burstable/pod1", 100), others)["levels"]
    of_pod = {"cpu_shares": 100, "cpu_quota": 0, "cpu_period": 100_000, "memory": 5}
    assert made == [("kubepods", {}), ("burstable", {"cpu_shares": 400}), ("pod1", of_pod), ("pause", {})]
    assert pods.of_sandbox(OFFER, pod("/kubepods/besteffort/pod1"), others)["levels"][1] == (
        "besteffort",
        {"cpu_shares": 2},
    )
    assert pods.place(pod("")) == "kubepods/poda_b"


@pytest.mark.parametrize(
    "parent",
    ["kubepods", "kubepods/x", "a/podx", "kubepods/../podx", "kubepods/a/b/podx", "kubepods/pod/..", "kubepods//podx"],
)
def test_places_that_are_none(parent: str) -> None:
    with pytest.raises(LimitError, match="is no group of a pod"):
        pods.place(pod(parent))


def test_a_machine_without_groups_runs_programs_all_the_same(tmp_path: Path) -> None:
    made = groups.Group({"offer": Offer().as_json(), "levels": [("a", {}), ("b", LIMITS)]}).make()
    made.enter()
    assert made.oom_kills() == 0
    made.remove()
    groups.prune(Offer(), ())
    groups.remove_all(Offer(), NAME)
