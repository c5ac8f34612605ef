"""A cluster of another home is named with its user and its home."""

from __future__ import annotations

from pathlib import Path

from kubelab.cluster import othercluster


def process(proc: Path, pid: str, *arguments: str) -> None:
    (proc / pid).mkdir(parents=True)
    (proc / pid / "cmdline").write_text("\0".join((*arguments, "")))


def test_clusters_of_other_homes(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "7").mkdir()  # it has just ended
    process(tmp_path, "8", "python", "-m", "kubelab.kubelet", "--home", "/x", "--cluster", "lab")
    process(tmp_path, "9", "python", "-m", "kubelab.supervisor", "--home", "/root/.kubelab", "--cluster", "lab")
    assert [(other.home, other.cluster) for other in othercluster.running(tmp_path)] == [
        (Path("/root/.kubelab"), "lab")
    ]
    told = othercluster.hint("lab", Path("/home/me/.kubelab"), tmp_path)
    assert 'runs a cluster "lab" in /root/.kubelab: type the same with sudo KUBELAB_HOME=/root/.kubelab' in told
    assert othercluster.hint("lab", Path("/root/.kubelab"), tmp_path) == ""
    assert othercluster.hint("other", Path("/home/me/.kubelab"), tmp_path) == ""
