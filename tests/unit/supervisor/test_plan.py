"""The files that configure a cluster are what each component understands."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.component.config import ConfigError, load
from kubelab.supervisor import plan
from kubelab.topology.record import Record

COMPONENTS = [*sorted(plan.MODULES), plan.TUNNELS]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path, "kubelab", "0a1b2c3d", ("cp-1", "node-1", "node-2"), (6443,))


def test_three_nodes_are_thirteen_processes_and_the_tunnels(record: Record) -> None:
    first, *names = [spec.name for spec in plan.plan(record).specs]
    assert first == "tunnels"
    assert len(names) == len(set(names)) == 13
    assert {"etcd@cp-1", "api-server@cp-1", "runtime@node-2", "kubelet@cp-1", "kube-proxy@node-1"} <= set(names)


def test_nothing_waits_for_what_is_not_there(record: Record) -> None:
    specs = {spec.name: spec for spec in plan.plan(record).specs}
    assert {name for spec in specs.values() for name in spec.after} <= set(specs)
    assert specs["api-server@cp-1"].after == ("etcd@cp-1",)
    assert specs["kubelet@node-1"].after == ("api-server@cp-1",)
    assert specs["runtime@node-1"].after == ()


@pytest.mark.parametrize("component", COMPONENTS)
def test_components_accept_their_configuration(record: Record, component: str) -> None:
    laid_out = plan.plan(record)
    plan.write(record, laid_out.files)
    module = {**plan.MODULES, plan.TUNNELS: plan.TUNNELS_MODULE}[component]
    kind = importlib.import_module(module).COMPONENT.config
    for spec in laid_out.specs:
        if spec.component == component:
            assert load(kind, spec.request.argv, prog=component).name == spec.name


def test_kubeconfigs_lead_to_the_api_server(record: Record) -> None:
    files = plan.plan(record).files
    config = Kubeconfig.parse(files[record.config / "scheduler@cp-1.kubeconfig"])
    assert config.server() == "https://192.168.49.2:6443"


@pytest.fixture
def three(tmp_path: Path) -> Record:
    """Three control planes and a worker."""
    return Record(tmp_path, "ha", "0a1b2c3d", ("cp-1", "cp-2", "cp-3", "node-1"), (7001, 7002, 7003))


def test_every_control_plane_has_all_of_it(three: Record) -> None:
    specs = {spec.name: spec for spec in plan.plan(three).specs}
    for plane in ("cp-1", "cp-2", "cp-3"):
        assert specs[f"api-server@{plane}"].after == (f"etcd@{plane}",)
        assert specs[f"scheduler@{plane}"].after == specs[f"kubelet@{plane}"].after == (f"api-server@{plane}",)
    assert "scheduler@node-1" not in specs
    assert len(specs) == 1 + 3 * 7 + 3


def test_members_know_each_other(three: Record) -> None:
    members = [spec for spec in plan.plan(three).specs if spec.component == "etcd"]
    cluster = (
        "--initial-cluster=cp-1=https://192.168.49.2:2380,cp-2=https://192.168.49.3:2380,cp-3=https://192.168.49.4:2380"
    )
    assert [member.name for member in members if cluster in member.request.argv] == [
        "etcd@cp-1",
        "etcd@cp-2",
        "etcd@cp-3",
    ]


@pytest.mark.parametrize(
    ("process", "servers"),
    [
        ("scheduler@cp-1", "2 3 4"),
        ("kubelet@cp-2", "3 4 2"),
        ("kube-proxy@cp-3", "4 2 3"),
        ("kubelet@node-1", "2 3 4"),
    ],
)
def test_everybody_knows_every_api_server_the_nearest_first(three: Record, process: str, servers: str) -> None:
    config = Kubeconfig.parse(plan.plan(three).files[three.config / f"{process}.kubeconfig"])
    assert config.server() == ",".join(f"https://192.168.49.{last}:6443" for last in servers.split())


def test_settings_are_laid_over_what_a_component_has_anyway(tmp_path: Path) -> None:
    settings = {"controller-manager": {"nodeLifecycle": {"nodeMonitorGracePeriod": "4s"}}, "api-server": {"workers": 3}}
    record = Record(tmp_path, "kubelab", "0a1b2c3d", ("cp-1",), (6443,), settings)
    plan.check(record)
    files = plan.plan(record).files
    manager = yaml.safe_load(files[record.config / "controller-manager@cp-1.yaml"])
    assert (manager["nodeLifecycle"], manager["name"]) == ({"nodeMonitorGracePeriod": "4s"}, "controller-manager@cp-1")
    assert yaml.safe_load(files[record.config / "api-server@cp-1.yaml"])["workers"] == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kubelets": {}}, "kubelets: unknown component; expected one of api-server, controller-manager, kube-proxy"),
        (
            {"kubelet": {"maxPod": 3}},
            "kubelet: unknown key 'maxPod'; expected one of allowedUnsafeSysctls, bindAddress",
        ),
        ({"kubelet": {"maxPods": "many"}}, "kubelet: maxPods: got 'many', expected integer"),
    ],
)
def test_a_setting_that_its_component_would_refuse_is_refused(
    tmp_path: Path, settings: dict[str, dict[str, object]], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan.check(Record(tmp_path, "kubelab", "0a1b2c3d", ("cp-1",), (6443,), settings))
    assert str(caught.value).startswith(says)


def test_only_the_owner_reads_the_configuration(record: Record) -> None:
    plan.write(record, plan.plan(record).files)
    assert {path.stat().st_mode & 0o777 for path in record.config.iterdir()} == {0o600}


def test_etcd_wants_a_certificate_from_everybody(record: Record) -> None:
    etcd = next(spec for spec in plan.plan(record).specs if spec.component == "etcd")
    assert "--client-cert-auth=true" in etcd.request.argv
    assert "--peer-client-cert-auth=true" in etcd.request.argv
    assert not [flag for flag in etcd.request.argv if "http://" in flag or "fsync" in flag]
