"""A journal that cannot be written is told before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.chaos import runner
from kubelab.chaos.check import Experiment
from kubelab.chaos.runner import JournalNotWritable


@pytest.mark.parametrize("path", ["/proc/j.json", "/nowhere/j.json"])
def test_where_nothing_can_be_written(path: str) -> None:
    with pytest.raises(JournalNotWritable, match=f"cannot write {path}: No such file or directory"):
        runner.run(Experiment(Path("x.yaml"), {}, {}), "lab", Path(path), {})
