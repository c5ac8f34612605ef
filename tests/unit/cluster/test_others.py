"""A cluster of another home is named with its user and its home."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.cluster import othercluster


def process(proc: Path, pid: str, title: str) -> None:
    (proc / pid).mkdir(parents=True)
    (proc / pid / "cmdline").write_text(title.ljust(80, "\0"))  # as written over a longer command line


def test_clusters_of_other_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "7").mkdir()  # it has just ended
    process(tmp_path, "8", "kubelab: kubelet@node-1")
    process(tmp_path, "9", "kubelab: supervisor lab in /root/.kubelab")
    assert [(other.home, other.cluster) for other in othercluster.running(tmp_path)] == [
        (Path("/root/.kubelab"), "lab")
    ]
    told = othercluster.elsewhere("lab", Path("/home/me/.kubelab"), tmp_path)
    assert told == 'cluster "lab" is yours, in /root/.kubelab: type the same with KUBELAB_HOME=/root/.kubelab'
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    told = othercluster.elsewhere("lab", Path("/home/me/.kubelab"), tmp_path)
    assert told == 'cluster "lab" is root\'s, in /root/.kubelab: type the same with sudo KUBELAB_HOME=/root/.kubelab'
    assert othercluster.elsewhere("lab", Path("/root/.kubelab"), tmp_path) == ""
    assert othercluster.elsewhere("other", Path("/home/me/.kubelab"), tmp_path) == ""
