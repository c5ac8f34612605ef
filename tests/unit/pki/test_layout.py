"""What pki writes is what each component understands, and nobody gets more than it needs."""

from __future__ import annotations

import datetime
import importlib
import ipaddress
import platform
from pathlib import Path

import pytest

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.component.config import check as check_config
from kubelab.component.config import read_file
from kubelab.linux.nftables import script
from kubelab.pki import layout
from kubelab.pki.__main__ import STAMP, StampError, check_stamp, main, make, renew
from kubelab.supervisor import plan
from kubelab.topology.components import GROUPS
from kubelab.topology.listeners import limits

CLUSTER = layout.CertificateLayout(ipaddress.IPv4Network("192.168.49.0/24"), control_planes=3, workers=2)
FOLDERS = {str(folder.path): folder for folder in layout.folders(CLUSTER)}


def component_of(path: str) -> str:
    return path.rpartition("/")[2].partition("@")[0]


@pytest.mark.parametrize("path", [path for path in FOLDERS if component_of(path) != "etcd"])
def test_components_accept_their_configuration(path: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(FOLDERS[path].texts["config.yaml"])
    kind = importlib.import_module(plan.MODULES[component_of(path)]).COMPONENT.config
    check_config(kind, read_file(file), str(file))


def test_everybody_has_the_load_balancer_first_and_one_to_fall_back_on() -> None:
    config = Kubeconfig.parse(FOLDERS["node-1/etc/kubelet"].texts["kubeconfig"])
    assert config.server() == "https://haproxy:6443,https://api-server:6443"


def test_an_api_server_begins_with_the_member_beside_it() -> None:
    text = FOLDERS["control-plane/api-server@cp-2"].texts["config.yaml"]
    hosts = [line.split("//")[1].split(":")[0] for line in text.splitlines() if ":2379" in line]
    assert hosts == ["etcd-2", "etcd-3", "etcd"]


@pytest.mark.parametrize("path", FOLDERS)
def test_nobody_gets_a_key_that_is_not_its_own(path: str) -> None:
    keys = {source for source in FOLDERS[path].copies.values() if source.endswith(".key")}
    process = path.rpartition("/")[2] if "@" in path else f"{component_of(path)}@{path.split('/')[0]}"
    own = {f"{process}.key", f"{process}-serving.key"}
    also = {
        "api-server": {"apiserver-etcd-client.key", "apiserver-kubelet-client.key", "sa.key"},
        "controller-manager": {"client-ca.key"},
    }
    assert keys <= own | also.get(component_of(path), set())


def test_files_are_for_their_process_alone(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path), "--workers", "1", "--control-planes", "1"]
    (tmp_path / "control-plane").mkdir()
    assert main(options) == 0
    for folder, owner in (("control-plane/scheduler@cp-1", GROUPS["scheduler"]), ("node-1/etc/kubelet", 0)):
        for path in (tmp_path / folder, *(tmp_path / folder).iterdir()):
            assert path.stat().st_mode & 0o077 == 0
            assert path.stat().st_uid == owner
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(options) == 0  # again: nothing changes
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_every_process_of_the_control_plane_has_the_rules_that_bound_its_connections() -> None:
    rules = {path for path, folder in FOLDERS.items() if layout.LISTENERS in folder.texts}
    assert rules == {path for path in FOLDERS if path.startswith("control-plane/")}
    texts = {FOLDERS[path].texts[layout.LISTENERS] for path in rules}
    assert texts == {script(limits(CLUSTER.network)).decode()}


def test_what_is_near_its_end_is_renewed_and_handed_out(tmp_path: Path) -> None:
    cluster = layout.CertificateLayout(CLUSTER.network, control_planes=1, workers=1)
    for name in ("control-plane", "node-1"):
        (tmp_path / name).mkdir()
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    make(tmp_path, cluster, now)
    handed = tmp_path / "node-1/etc/kubelet/client.crt"
    first, config = handed.read_bytes(), handed.with_name("config.yaml").stat()
    assert renew(tmp_path, cluster, now + datetime.timedelta(days=200)).files == ()
    assert handed.read_bytes() == first
    assert "kubelet@node-1" in renew(tmp_path, cluster, now + datetime.timedelta(days=300)).files
    assert handed.read_bytes() == (tmp_path / "authority/kubelet@node-1.crt").read_bytes() != first
    assert handed.with_name("config.yaml").stat().st_ino == config.st_ino, "what stays the same is not written"


@pytest.mark.parametrize(
    ("stamp", "says"),
    [
        (f"0 {platform.machine()} v1.31.0", "these volumes were laid out by kubelab v1.31.0 (layout 0), and this is"),
        ("1 riscv128 v1.32.0", "these volumes are of a riscv128 machine, and this image is for"),
        ("", "these volumes are of a nameless machine"),
    ],
)
def test_volumes_of_another_version_or_machine_are_refused(tmp_path: Path, stamp: str, says: str) -> None:
    (tmp_path / STAMP).write_text(stamp)
    with pytest.raises(StampError) as caught:
        check_stamp(tmp_path)
    assert str(caught.value).startswith(says)
    assert "docker compose down --volumes" in str(caught.value)
