"""A terminal without a cluster: kctl's main() over an api-server in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.manifest.decode import decode
from kubelab.client.client import Client
from kubelab.client.kubeconfig import Access, Kubeconfig
from kubelab.kctl.__main__ import main
from kubelab.kctl.session import Factory
from tests.support.tables import ApiServerWithPlainTables
from tests.support.tokens import with_tokens

GOLDEN = Path(__file__).parent / "golden"
NOON = 1714564800.0  # 2024-05-01T12:00:00Z, the moment at which the golden files were described


class Noon(SystemClock):
    """It is always noon; waiting takes as long as it takes."""

    def time(self) -> float:
        return NOON


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


@dataclass
class Shell:
    """Types command lines and gives what they print."""

    server: ApiServerWithPlainTables
    capture: pytest.CaptureFixture[str]
    kubeconfig: Path
    stdin: bytes = b""
    clock: Clock = field(default_factory=Noon)
    environ: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, *argv: str) -> Outcome:
        factory = Factory(
            connect=self._connect,
            environ={"KUBECONFIG": str(self.kubeconfig), **self.environ},
            clock=self.clock,
            stdin=lambda: self.stdin,
            read_line=lambda: self.stdin.decode(),
        )
        code = main(argv, factory)
        printed = self.capture.readouterr()
        return Outcome(code, printed.out, printed.err)

    def add(self, text: str) -> None:
        """Put manifests into the server as they are, status and all."""
        self.server.add(*(document.obj for document in decode(text, "test")))

    def _connect(self, access: Access, clock: Clock) -> Client:
        return self.server.client("kctl", access.headers)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    config = Kubeconfig()
    config.set_cluster("test", server="https://127.0.0.1:6443", ca=b"ca", certificate=b"certificate", key=b"key")
    config.write(tmp_path / "kubeconfig")
    return Shell(ApiServerWithPlainTables(clock=Noon(), config=with_tokens(tmp_path)), capsys, tmp_path / "kubeconfig")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Print times as the golden files have them."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
