"""Members of etcd whose data are gone: what the others have they get, and nobody begins beside them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.supervisor import cleanup
from kubelab.topology.record import Record
from tests.support.polling import until_true

pytestmark = pytest.mark.root
SECONDS = 120


@dataclass
class Lab:
    """A cluster of three control planes and the commands of its user."""

    home: Path
    name: str

    def run(self, module: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={
                **os.environ,
                "KUBELAB_HOME": str(self.home),
                "KUBECONFIG": str(self.home / "kubeconfig"),
                "KUBELAB_CLUSTER": self.name,
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.run("kubelab.cli", "up", "--name", self.name, "--control-planes", "3", "--nodes", "3")

    def down(self) -> None:
        done = self.run("kubelab.cli", "down", "--name", self.name)
        assert done.returncode == 0, done.stderr

    def process(self, name: str) -> dict[str, Any]:
        told = self.run("kubelab.cli", "status", "--name", self.name, "-o", "json")
        return next(p for p in json.loads(told.stdout)["processes"] if p["name"] == name)

    def healthy(self, name: str) -> bool:
        return self.process(name)["health"] == "Healthy"

    def write(self, name: str) -> None:
        manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"
        done = self.run("kubelab.kctl", "create", "-f", "-", stdin=manifest)
        assert done.returncode == 0, done.stderr

    def has(self, name: str) -> bool:
        return self.run("kubelab.kctl", "get", "configmap", name).returncode == 0

    def data(self, member: str) -> Path:
        return self.home / "clusters" / self.name / "etcd" / member


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "home", f"kl-etcd-{secrets.token_hex(3)}")
    yield made
    record = Record.load(made.home, made.name)
    if record:
        cleanup.everything(record, SystemClock(), delete=True)


async def test_members_without_data(lab: Lab) -> None:
    up = lab.up()
    assert up.returncode == 0, up.stdout + up.stderr
    lab.write("first")

    # while the cluster runs: the whole folder, what is in it, the log alone
    for member, loss in (("cp-2", ""), ("cp-3", "*"), ("cp-1", "member/wal")):
        await _dies_without_data(lab, member, loss)
        await until_true(lambda member=member: lab.healthy(f"etcd@{member}"), within=SECONDS)
        assert lab.has("first")
        assert (lab.data(member) / "member/wal").is_dir()
    lab.write("second")

    # before it starts
    lab.down()
    shutil.rmtree(lab.data("cp-2"))
    up = lab.up()
    assert up.returncode == 0, up.stdout + up.stderr
    assert f"The data of etcd@cp-2 are gone ({lab.data('cp-2')}): it joins the other members of etcd anew" in up.stdout
    assert lab.has("first")
    assert lab.has("second")

    # no majority has data: nothing starts, and the message says what to do
    lab.down()
    for member in ("cp-1", "cp-2"):
        lab.data(member).rename(lab.data(member).with_suffix(".kept"))
    up = lab.up()
    assert up.returncode == 1
    assert (
        "etcd@cp-3 alone is no majority of 3 members: put the folders back, or begin with an empty cluster: "
        in up.stderr
    )
    assert f"kubelab down --delete --name {lab.name}" in up.stderr
    for member in ("cp-1", "cp-2"):
        lab.data(member).with_suffix(".kept").rename(lab.data(member))
    up = lab.up()
    assert up.returncode == 0, up.stdout + up.stderr
    assert lab.has("second")

    # none has: a new cluster
    lab.down()
    for member in ("cp-1", "cp-2", "cp-3"):
        shutil.rmtree(lab.data(member))
    up = lab.up()
    assert up.returncode == 0, up.stdout + up.stderr
    assert "the cluster begins anew, without any object" in up.stdout
    assert not lab.has("second")


async def _dies_without_data(lab: Lab, member: str, loss: str) -> None:
    """Kill a member, and take (a part of) its data away before another process of it can begin."""
    pid = lab.process(f"etcd@{member}")["pid"]
    os.kill(pid, signal.SIGSTOP)
    for lost in [lab.data(member)] if not loss else list(lab.data(member).glob(loss)):
        lost.unlink() if lost.is_file() else shutil.rmtree(lost)
    os.kill(pid, signal.SIGKILL)
    await until_true(lambda: lab.process(f"etcd@{member}")["pid"] not in (0, pid), within=SECONDS)
