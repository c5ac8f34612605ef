"""A cluster that a benchmark starts for itself, in a home of its own, and commands run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from kubelab.client.kubeconfig import Kubeconfig

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = "bench"


class Bench:
    """A cluster in a home of its own, and commands run in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "KUBELAB_HOME": str(home),
            "KUBECONFIG": str(home / "kubeconfig"),
            "KUBELAB_CLUSTER": CLUSTER,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def answers(self, *command: str) -> bool:
        """Whether a command is there and succeeds."""
        try:
            return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def run(self, *command: str, deadline: float = 120.0) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=deadline, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def timed(self, *command: str) -> float:
        began = time.perf_counter()
        self.run(*command)
        return time.perf_counter() - began

    def inside(self, module: str, *arguments: str) -> dict[str, float]:
        """Run one of our modules in the control-plane node's network, where no tunnel is in the way."""
        return json.loads(self.run("kubelab", "shell", "cp-1", "--", sys.executable, "-m", module, *arguments))

    def load(self, work: str, clients: int, count: int) -> dict[str, float]:
        return self.inside("benchmarks.load", self._kubeconfig(), work, str(clients), str(count))

    def crowd(self, work: str, count: int) -> dict[str, float]:
        return self.inside("benchmarks.crowd", self._kubeconfig(), work, str(count))

    def rest(self, *arguments: str) -> dict[str, float]:
        """Measure the REST API."""
        return self.inside("benchmarks.rest", "--kubeconfig", self._kubeconfig(), *arguments)

    def _kubeconfig(self) -> str:
        """One that leads to the api-server's own address."""
        kubeconfig = self.home / "inside.kubeconfig"
        if not kubeconfig.exists():
            config = Kubeconfig.load(self.home / "kubeconfig")
            access = config.access()
            config.set_cluster(
                config.current_context,
                server="https://192.168.49.2:6443",
                https="https://192.168.49.2:8443",
                ca=access.ca,
                certificate=access.certificate,
                key=access.key,
            )
            config.write(kubeconfig)
        return str(kubeconfig)

    def processes(self) -> list[dict[str, float]]:
        return json.loads(self.run("kubelab", "status", "-o", "json"))["processes"]
