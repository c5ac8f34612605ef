"""A terminal to type into, and eyes to read what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kubelab.topology.record import Record
from tests.support.traces import Traces

ROOT = Path(__file__).resolve().parents[2]
OWN_FILES = ROOT / "examples" / "tutorial"
SHARED_FILES = ROOT.parent / "shared" / "tutorial" / "assets"
LOCAL_ROLES = {"cp-1": "control-plane", "node-1": "<none>", "node-2": "<none>"}
T = TypeVar("T")


def eventually(look: Callable[[], T | None], *, within: float = 60.0, what: str = "") -> T:
    """Call ``look`` until it returns something true; the failure shows its last error or answer.

    A look that starts a program takes processor time from what it looks at: the pause is as long as the look was.
    """
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        problem: AssertionError | None = None
        began = time.monotonic()
        try:
            if value := look():
                return value
        except AssertionError as err:
            problem = err
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what or look.__name__}: {problem}") from problem
        pause.wait(max(0.05, time.monotonic() - began))


@dataclass(frozen=True)
class Answer:
    """What a command printed, and how it ended."""

    command: str
    stdout: str
    stderr: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The table's cells, header first: columns are three blanks or more apart."""
        return [re.split(r"\s{3,}", line.strip()) for line in self.lines]

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.stdout}{self.stderr}(exit code {self.code})"


@dataclass
class Terminal:
    """A shell in which `kctl` and `kubelab` mean this cluster. ``assets`` is what the tutorial's paths begin with.

    ``roles`` are the cluster's nodes in the order of their names; their addresses begin with ``network``.
    """

    home: Path
    cluster: str
    folder: Path
    roles: Mapping[str, str] = field(default_factory=lambda: LOCAL_ROLES)
    network: str = "192.168.49"
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **os.environ,
            "KUBELAB_HOME": str(self.home),
            "KUBECONFIG": str(self.home / "kubeconfig"),
            "KUBELAB_CLUSTER": self.cluster,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }

    def type(self, command: str, *, code: int | None = 0, deadline: float = 120.0, stdin: str = "") -> Answer:
        """Run a line as a person types it, and insist on its exit code."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
        answer = Answer(command, done.stdout, done.stderr, done.returncode)
        assert code is None or done.returncode == code, str(answer)
        assert "Traceback" not in done.stderr, str(answer)
        return answer

    def start(self, command: str) -> subprocess.Popen[str]:
        """Leave a command running; the caller ends it."""
        return subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def running(self, selector: str, count: int, *, namespace: str = "default") -> list[list[str]]:
        """Wait until so many pods are Running and ready; give their rows without the header."""

        def look() -> list[list[str]] | None:
            answer = self.type(f"kctl get pods -n {namespace} -l '{selector}' --no-headers", code=None)
            rows = answer.rows
            ready = [row for row in rows if len(row) >= 3 and row[2] == "Running" and len(set(row[1].split("/"))) == 1]
            assert len(ready) == len(rows) == count, str(answer)
            return rows

        return eventually(look, what=f"{count} running pods of {selector}")

    def url(self, service: str, *, nth: int = 0) -> str:
        """The address at which this machine reaches a service."""
        return self.type(f"kubelab service {service} --url").lines[nth].strip()

    def ask(self, service: str, *, nth: int = 0) -> str:
        """One request on a connection of its own."""
        return fetch(self.url(service, nth=nth))


def fetch(url: str, *, deadline: float = 10.0) -> str:
    """GET on a new connection, as curl does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads to 127.0.0.1
    with opener.open(url, timeout=deadline) as answer:
        return answer.read().decode()


def try_fetch(url: str, *, deadline: float = 10.0) -> str | None:
    """The same, or None without an answer."""
    try:
        return fetch(url, deadline=deadline)
    except (OSError, urllib.error.URLError):
        return None


def take_down(terminal: Terminal) -> None:
    """Remove the cluster: no process, mount, network namespace or file of it is there any more."""
    record = Record.load(terminal.home, terminal.cluster)
    traces = Traces.of(record) if record and record.run.exists() else None
    terminal.type(f"kubelab down --name {terminal.cluster} --delete", deadline=120)
    traces_left = traces.left() if traces else []
    assert traces_left == []
    assert not (terminal.home / "clusters" / terminal.cluster).exists()


@dataclass(frozen=True)
class Tutorial:
    """The tutorial's files under the name `assets`, and the image that they use."""

    terminal: Terminal
    image: str
    base: str

    def build(self, *, stop_signal: str = "") -> None:
        """Build the image of the tutorial's Dockerfile, with a line more where ``stop_signal`` is another one."""
        bases = f"--base {self.base}" if self.base else ""
        dockerfile = (self.terminal.folder / "assets/00000/Dockerfile").read_text()
        if stop_signal:
            dockerfile += f"\nSTOPSIGNAL {stop_signal}\n"
        build = f"kubelab image build -t {self.image} {bases} -f - assets/00000"
        self.terminal.type(build, stdin=dockerfile, deadline=180)
