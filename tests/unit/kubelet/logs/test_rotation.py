"""Logs that grow too long are turned over, and the oldest deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import structlog

from kubelab.component.config import ConfigError
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.cri.client import RuntimeFailure
from kubelab.kubelet.logs.rotation import Limits, LogRotation, RunningLog, earlier, remove_log
from tests.support.clock import FakeClock

LIMITS = Limits(size=10, files=3)
LONG = "x" * 11


@dataclass
class Writer:
    """A runtime that writes one log: begins it anew when asked to, unless it refuses."""

    path: Path
    refuses: bool = False
    begins: bool = True
    asked: list[str] = field(default_factory=list[str])

    async def reopen(self, container_id: str) -> None:
        self.asked.append(container_id)
        if self.begins:
            self.path.touch()
        if self.refuses:
            raise RuntimeFailure("ReopenContainerLog", grpc.StatusCode.FAILED_PRECONDITION, "container is not running")

    def rotation(self, clock: FakeClock) -> LogRotation:
        running = [RunningLog("c0", self.path), RunningLog("c1", self.path.with_name("missing.log"))]
        return LogRotation(lambda: running, self.reopen, LIMITS, clock=clock, log=structlog.get_logger())


async def test_a_long_log_is_turned_over_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    clock, writer = FakeClock(), Writer(tmp_path / "0.log")
    rotation = writer.rotation(clock)
    for n in range(5):
        writer.path.write_text(f"{n}{LONG}")
        await rotation.look()
        await clock.advance(10)
    assert writer.path.read_text() == ""
    assert [old.read_text()[0] for old in earlier(writer.path)] == ["3", "4"], "and the one that is written"
    assert writer.asked == ["c0"] * 5
    writer.path.write_text("short")
    await rotation.look()
    assert writer.asked == ["c0"] * 5
    remove_log(writer.path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("begins", [False, True])
async def test_a_runtime_that_refuses_keeps_its_log(tmp_path: Path, begins: bool) -> None:
    clock, writer = FakeClock(), Writer(tmp_path / "0.log", refuses=True, begins=begins)
    writer.path.write_text(LONG)
    await writer.rotation(clock).look()
    assert writer.path.read_text() == ("" if begins else LONG)
    assert len(earlier(writer.path)) == (1 if begins else 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"container_log_max_size": "much"}, "containerLogMaxSize: 'much': "),
        ({"container_log_max_size": "0"}, "containerLogMaxSize: '0': must be positive"),
        ({"container_log_max_files": 1}, "containerLogMaxFiles: 1: must be greater than 1"),
    ],
)
def test_limits_that_cannot_be(setting: dict[str, str | int], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        Limits.of(KubeletConfig(**setting))  # pyright: ignore[reportArgumentType]


def test_limits_are_upstream_s() -> None:
    assert Limits.of(KubeletConfig()) == Limits(10 << 20, 5)
