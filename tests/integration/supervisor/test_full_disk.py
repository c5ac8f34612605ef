"""A full disk under a cluster: nothing but etcd ends, and all goes on by itself when there is room again."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.polling import until_true

pytestmark = pytest.mark.root
SECONDS = 120
DISK = "300m"


@dataclass
class SmallDisk:
    """A home on a file system of its own, which is mounted in a mount namespace of its own."""

    home: Path
    name: str
    holder: int

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "--", *command],
            env={
                **os.environ,
                "KUBELAB_HOME": str(self.home / "home"),
                "KUBECONFIG": str(self.home / "kubeconfig"),
                "KUBELAB_CLUSTER": self.name,
            },
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def kubelab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "kubelab.cli", *arguments)

    def kctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "kubelab.kctl", *arguments, "--request-timeout=10s")

    def processes(self) -> dict[str, Any]:
        told = self.kubelab("status", "-o", "json")
        assert told.stdout, told.stderr
        return {process["name"]: process for process in json.loads(told.stdout)["processes"]}

    def create(self, number: int) -> bool:
        """Create an object that etcd needs room for; False when it is refused."""
        manifest = self.home.with_name("large.yml")
        large = "x" * 900_000
        manifest.write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: n-{number}}}\ndata: {{k: {large}}}\n")
        answer = self.kctl("create", "-f", str(manifest))
        assert "Traceback" not in answer.stderr
        return answer.returncode == 0

    def fill(self) -> None:
        """Leave not a byte."""
        self.run("sh", "-c", f"cat /dev/zero > {self.home}/fill")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    home = tmp_path / "disk"
    home.mkdir()
    script = f"mount -t tmpfs -o size={DISK} tmpfs {home} && echo ready && exec sleep infinity"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        made = SmallDisk(home, f"kl-full-{secrets.token_hex(3)}", holder.pid)
        try:
            yield made
        finally:
            made.run("rm", "-f", f"{home}/fill")
            down = made.kubelab("down", "--delete", "--name", made.name)
            holder.kill()
            assert down.returncode == 0, down.stderr


async def test_a_full_disk_ends_nothing_for_good(disk: SmallDisk) -> None:
    up = disk.kubelab("up", "--name", disk.name, "--nodes", "1")
    assert up.returncode == 0, up.stderr
    before = disk.processes()
    disk.fill()
    numbers = iter(range(10_000))
    await until_true(lambda: not disk.create(next(numbers)), within=SECONDS)
    await until_true(lambda: "no space left on device" in disk.kubelab("status").stdout, within=SECONDS)
    images = disk.kubelab("image", "ls")
    assert images.returncode == 0, images.stderr  # the nodes live on
    disk.run("rm", f"{disk.home}/fill")
    await until_true(lambda: disk.create(next(numbers)), within=SECONDS)
    after = disk.processes()
    lasting = {name for name in before if not name.startswith("etcd@")}
    assert {name: after[name]["pid"] for name in lasting} == {name: before[name]["pid"] for name in lasting}
