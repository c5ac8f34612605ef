"""``kubelab up`` and ``kubelab down`` as typed, with what they leave behind: nothing that was not asked for."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.cluster.record import RUN_ROOT, Record
from kubelab.supervisor import cleanup, processes
from kubelab.supervisor.processes import Running

pytestmark = pytest.mark.root
SECONDS = 120

Kubelab = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "home"
    yield made
    for cluster in (made / "clusters").glob("*"):
        record = Record.load(made, cluster.name)
        if record:
            cleanup.everything(record, SystemClock(), delete=True)


@pytest.fixture
def kubelab(home: Path) -> Kubelab:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kubelab.cli", *arguments],
            env={**os.environ, "KUBELAB_HOME": str(home), "KUBELAB_KUBECONFIG": ""},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def name() -> str:
    return f"kl-sup-{secrets.token_hex(3)}"


def record_of(home: Path, name: str) -> Record:
    record = Record.load(home, name)
    assert record is not None
    return record


def traces(record: Record) -> list[str]:
    """Everything that a cluster could leave on the machine."""
    found = [line for line in Path("/proc/self/mounts").read_text().splitlines() if record.id in line]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(record.folder) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if record.name in command or record.id in command or str(record.home) in command:
                found.append(command)
    found += [str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{record.id}*")]
    found += [str(path) for path in (RUN_ROOT / record.id, record.folder) if path.exists()]
    return found


def test_up_status_down_up_delete(kubelab: Kubelab, home: Path, name: str) -> None:
    up = kubelab("up", "--name", name, "--nodes", "2")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "kctl get nodes" in up.stdout
    assert Kubeconfig.load(home / "kubeconfig").current_context == name
    status = kubelab("status", "--name", name, "-o", "json")
    assert status.returncode == 0, status.stdout
    told = json.loads(status.stdout)
    assert {p["health"] for p in told["processes"]} == {"Healthy"}
    assert len([p for p in told["processes"] if p["node"]]) == 10

    assert "already running" in kubelab("up", "--name", name).stdout
    refused = kubelab("up", "--name", name, "--nodes", "3")
    assert refused.returncode == 1
    assert "has 2 nodes, not 3" in refused.stderr

    record = record_of(home, name)
    assert kubelab("down", "--name", name).returncode == 0
    assert [trace for trace in traces(record) if trace != str(record.folder)] == []
    stopped = kubelab("status", "--name", name)
    assert stopped.returncode != 0
    assert "is not running" in stopped.stderr

    assert kubelab("up", "--name", name).returncode == 0
    assert kubelab("down", "--name", name, "--delete").returncode == 0
    assert traces(record) == []
    assert not home.exists()


def kill_together(*victims: Running) -> None:
    """Neither of them gets to replace the other."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for victim in victims:
            assert victim.signal(number)


def guardians(record: Record) -> list[Running]:
    found = [processes.read(record.processes, name) for name in (processes.ZYGOTE, processes.SUPERVISOR)]
    return [running for running in found if running]


def test_up_adopts_what_runs_when_nobody_looks_after_it(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    before = processes.read_all(record.processes)
    kill_together(*guardians(record))
    assert "is not running" in kubelab("status", "--name", name).stderr
    assert kubelab("up", "--name", name).returncode == 0
    after = processes.read_all(record.processes)
    assert {n: r.pid for n, r in after.items() if "@" in n} == {n: r.pid for n, r in before.items() if "@" in n}


def test_down_cleans_up_when_everybody_was_killed(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    kill_together(*guardians(record))
    assert kubelab("down", "--name", name, "--delete").returncode == 0
    assert traces(record) == []


def test_a_half_failed_up_says_why_and_leaves_nothing(kubelab: Kubelab, home: Path, name: str) -> None:
    """etcd is given a setting from the environment that it cannot use."""
    failed = subprocess.run(
        [sys.executable, "-m", "kubelab.cli", "up", "--name", name, "--nodes", "1"],
        env={**os.environ, "KUBELAB_HOME": str(home), "KUBELAB_KUBECONFIG": "", "ETCD_AUTH_TOKEN": "nonsense"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert failed.returncode == 1
    assert "etcd@cp-1 keeps failing" in failed.stderr
    assert "The last lines of" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert Record.load(home, name) is None
