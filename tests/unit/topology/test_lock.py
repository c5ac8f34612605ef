"""Who may look after a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubelab.topology import lock

HOLD = """
import sys
from pathlib import Path
from kubelab.topology import lock
lock.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_one_hears_who_was_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(lock.AlreadyRunning) as refused:
            lock.take(tmp_path)
        assert refused.value.pid == first.pid
        assert lock.holder(tmp_path) == first.pid
        first.communicate()
    assert lock.holder(tmp_path) is None
    os.close(lock.take(tmp_path))


def test_without_a_run_folder_there_is_nothing_to_hold(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock.take(tmp_path / "none")
    assert lock.holder(tmp_path / "none") is None
