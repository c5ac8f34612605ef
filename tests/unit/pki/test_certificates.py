"""Certificates: names, groups, modes, and what is used again."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from kubelab.cluster.record import Node
from kubelab.pki import certificates as pki

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NODES = (Node("cp-1", "192.168.49.2", True), Node("node-1", "192.168.49.3"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki")
    pki.ensure(made, NODES, NOW)
    return made


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def subject(folder: Path, name: str, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(part.value) for part in certificate(folder, name).subject.get_attributes_for_oid(oid)]


@pytest.mark.parametrize(
    ("file", "common_name", "organisation"),
    [
        ("admin", "kubernetes-admin", ["system:masters"]),
        ("scheduler@cp-1", "system:kube-scheduler", []),
        ("controller-manager@cp-1", "system:kube-controller-manager", []),
        ("kube-proxy@node-1", "system:kube-proxy", []),
        ("kubelet@node-1", "system:node:node-1", ["system:nodes"]),
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"]),
        ("apiserver-etcd-client", "kube-apiserver-etcd-client", []),
    ],
)
def test_identities_have_kubeadm_names(folder: Path, file: str, common_name: str, organisation: list[str]) -> None:
    assert subject(folder, file, NameOID.COMMON_NAME) == [common_name]
    assert subject(folder, file, NameOID.ORGANIZATION_NAME) == organisation


def test_the_api_server_serves_under_all_its_names(folder: Path) -> None:
    names = certificate(folder, "api-server@cp-1").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes", "kubernetes.default.svc.cluster.local", "cp-1"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    assert {"127.0.0.1", "192.168.49.2", "10.96.0.1"} <= {str(a) for a in names.get_values_for_type(x509.IPAddress)}


def test_etcd_trusts_another_authority_than_everybody_else(folder: Path) -> None:
    etcd = certificate(folder, "etcd-ca")
    certificate(folder, "etcd@cp-1").verify_directly_issued_by(etcd)
    certificate(folder, "apiserver-etcd-client").verify_directly_issued_by(etcd)
    certificate(folder, "kubelet@node-1").verify_directly_issued_by(certificate(folder, "ca"))
    with pytest.raises(ValueError, match="does not match"):
        certificate(folder, "kubelet@node-1").verify_directly_issued_by(etcd)


def test_only_the_owner_reads_keys(folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}


def test_what_is_there_is_used_again(tmp_path: Path) -> None:
    pki.ensure(tmp_path, NODES, NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    pki.ensure(tmp_path, NODES, NOW)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_broken_or_missing_is_made_again_and_only_that(tmp_path: Path) -> None:
    pki.ensure(tmp_path, NODES, NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "admin.key").write_bytes(b"not a key")
    (tmp_path / "scheduler@cp-1.crt").unlink()
    pki.ensure(tmp_path, NODES, NOW)
    changed = {path.name for path in tmp_path.iterdir() if before[path.name] != path.read_bytes()}
    assert changed == {"admin.key", "admin.crt", "scheduler@cp-1.key", "scheduler@cp-1.crt"}


def test_what_expires_is_made_again(tmp_path: Path) -> None:
    pki.ensure(tmp_path, NODES, NOW)
    before = (tmp_path / "ca.crt").read_bytes()
    pki.ensure(tmp_path, NODES, NOW + pki.VALIDITY)
    assert (tmp_path / "ca.crt").read_bytes() != before
    certificate(tmp_path, "admin").verify_directly_issued_by(certificate(tmp_path, "ca"))
