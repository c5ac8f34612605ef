"""Groups of version 2 on the machine's own kernel, also where none of its controllers is free: a process is born in its
group (clone3 with CLONE_INTO_CGROUP), what it forks stays there, and nothing of a group outlives it.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelab.runtime.cgroups import groups
from kubelab.runtime.cgroups.groups import Group, OpenGroup
from kubelab.runtime.cgroups.machine import Offer, Tree

pytestmark = pytest.mark.root
PARENT_AND_CHILD = "sleep 60 & echo $!; wait"


@pytest.fixture
def top() -> Iterator[Path]:
    """A group of the test's own in the machine's hierarchy of version 2."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    writable = [Path(at) for _, at, kind, options, *_ in mounts if kind == "cgroup2" and "rw" in options.split(",")]
    found = next(iter(writable), None)
    if found is None:
        pytest.skip("no hierarchy of version 2 is mounted")
    top = found / f"kubelab-test-{secrets.token_hex(4)}"
    top.mkdir()
    yield top
    groups.remove(top)
    assert not top.exists()


def group(top: Path, *names: str) -> Group:
    offer = Offer((Tree(2, (), str(top)),), {})
    return Group({"offer": offer.as_json(), "levels": [(name, {}) for name in names]})


def members(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "cgroup.procs").read_text().split()]


def run(made: OpenGroup, script: str) -> tuple[int, int]:
    """Start a shell in a group; gives its pid, and the number that it prints."""
    mine, theirs = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    pid = made.run("/bin/sh", ["sh", "-c", script], (null, theirs, theirs))
    os.close(theirs)
    os.close(null)
    with os.fdopen(mine) as told:
        return pid, int(told.readline())


def test_a_process_is_born_in_its_group_and_what_it_forks_stays_there(top: Path) -> None:
    made = group(top, "kubepods", "pod1", "app").make()
    pid, child = run(made, PARENT_AND_CHILD)
    folder = top / "kubepods/pod1/app"
    assert sorted(members(folder)) == sorted([pid, child])
    assert members(top / "kubepods/pod1") == members(top) == []
    made.remove()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not folder.exists(), "the kernel removes no group in which something runs"


def test_a_group_that_is_made_again_is_the_same_and_one_that_is_gone_is_removed_again(top: Path) -> None:
    pod = group(top, "kubepods", "pod1", "app")
    pid, _ = run(pod.make(), PARENT_AND_CHILD)
    pod.make()
    assert pid in members(top / "kubepods/pod1/app")
    group(top, "kubepods", "pod1").remove()  # with all below it
    os.waitpid(pid, 0)
    assert not (top / "kubepods/pod1").exists()
    group(top, "kubepods", "pod1").remove()


def test_what_no_pod_has_any_more_is_pruned(top: Path) -> None:
    for name in ("pod1", "pod2"):
        group(top, "kubepods", "burstable", name, "app").make()
    groups.prune(Offer((Tree(2, (), str(top)),), {}), {"kubepods/burstable/pod2"})
    assert [folder.name for folder in (top / "kubepods/burstable").iterdir() if folder.is_dir()] == ["pod2"]
