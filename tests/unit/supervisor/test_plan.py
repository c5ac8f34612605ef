"""The files that configure a cluster are what each component understands."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.cluster.record import Record
from kubelab.component.config import load
from kubelab.supervisor import plan

COMPONENTS = sorted(plan.MODULES)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path, "kubelab", "0a1b2c3d", ("cp-1", "node-1", "node-2"), 6443)


def test_three_nodes_are_thirteen_processes(record: Record) -> None:
    names = [spec.name for spec in plan.plan(record).specs]
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
    kind = importlib.import_module(plan.MODULES[component]).COMPONENT.config
    for spec in laid_out.specs:
        if spec.component == component:
            assert load(kind, spec.order.argv, prog=component).name == spec.name


def test_kubeconfigs_lead_to_the_api_server(record: Record) -> None:
    files = plan.plan(record).files
    config = Kubeconfig.parse(files[record.config / "scheduler@cp-1.kubeconfig"])
    assert config.server() == "https://192.168.49.2:6443"


def test_only_the_owner_reads_the_configuration(record: Record) -> None:
    plan.write(record, plan.plan(record).files)
    assert {path.stat().st_mode & 0o777 for path in record.config.iterdir()} == {0o600}


def test_etcd_wants_a_certificate_from_everybody(record: Record) -> None:
    etcd = next(spec for spec in plan.plan(record).specs if spec.component == "etcd")
    assert "--client-cert-auth=true" in etcd.order.argv
    assert "--peer-client-cert-auth=true" in etcd.order.argv
    assert not [flag for flag in etcd.order.argv if "http://" in flag or "fsync" in flag]
