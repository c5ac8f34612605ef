"""Groups of version 2 on the machine's own kernel, also where none of its controllers is free: a process is born in its
group (clone3 with CLONE_INTO_CGROUP), what it forks stays there, and nothing of a group outlives it.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kubelab.runtime.cgroups import groups
from kubelab.runtime.cgroups.groups import Group
from kubelab.runtime.cgroups.machine import Offer, Tree

pytestmark = pytest.mark.root

# Runs by itself, as the runtime's launcher does: a process that has other threads, such as gRPC's, must not fork.
STARTER = """
import json, os, sys
from kubelab.runtime.cgroups.groups import Group

pid = Group(json.loads(sys.argv[1])).open().run("/bin/sh", ["sh", "-c", "sleep 60 & echo $$ $!; wait"], (0, 1, 2))
print(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


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


def request(top: Path, *names: str) -> dict[str, Any]:
    offer = Offer((Tree(2, (), str(top)),), {})
    return {"offer": offer.as_json(), "levels": [(name, {}) for name in names]}


def group(top: Path, *names: str) -> Group:
    return Group(request(top, *names))


def members(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "cgroup.procs").read_text().split()]


@contextmanager
def started(wanted: dict[str, Any]) -> Generator[tuple[subprocess.Popen[str], int, int]]:
    """A shell in a group, and a process that the shell forked: the process that started it, and the pids of both."""
    command = [sys.executable, "-c", STARTER, json.dumps(wanted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        shell, child = map(int, starter.stdout.readline().split())
        yield starter, shell, child


def end_of(starter: subprocess.Popen[str]) -> tuple[int, int]:
    """The pid that the starter was given for the shell, and how the shell ended."""
    pid, code = map(int, starter.communicate()[0].split())
    return pid, code


def test_a_process_is_born_in_its_group_and_what_it_forks_stays_there(top: Path) -> None:
    wanted = request(top, "kubepods", "pod1", "app")
    made = Group(wanted).make()
    with started(wanted) as (starter, shell, child):
        folder = top / "kubepods/pod1/app"
        assert sorted(members(folder)) == sorted([shell, child])
        assert members(top / "kubepods/pod1") == members(top) == []
        made.remove()
        assert end_of(starter) == (shell, -signal.SIGKILL)
    assert not folder.exists(), "the kernel removes no group in which something runs"


def test_a_group_that_is_made_again_is_the_same_and_one_that_is_gone_is_removed_again(top: Path) -> None:
    wanted = request(top, "kubepods", "pod1", "app")
    pod = Group(wanted)
    pod.make()
    with started(wanted) as (starter, shell, _):
        pod.make()
        assert shell in members(top / "kubepods/pod1/app")
        group(top, "kubepods", "pod1").remove()  # with all below it
        assert end_of(starter) == (shell, -signal.SIGKILL)
    assert not (top / "kubepods/pod1").exists()
    group(top, "kubepods", "pod1").remove()


def test_what_no_pod_has_any_more_is_pruned(top: Path) -> None:
    for name in ("pod1", "pod2"):
        group(top, "kubepods", "burstable", name, "app").make()
    groups.prune(Offer((Tree(2, (), str(top)),), {}), {"kubepods/burstable/pod2"})
    assert [folder.name for folder in (top / "kubepods/burstable").iterdir() if folder.is_dir()] == ["pod2"]
