"""Certificates: names, groups, usages, modes, times, and what is used again."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import errors
from kubelab.apiserver.authz.rbac.defaults.objects import default_objects
from kubelab.auth import roles
from kubelab.auth.users import user_from_certificate
from kubelab.pki import certificates as pki
from kubelab.topology.record import NodeRecord

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NODES = (NodeRecord("cp-1", "192.168.49.2", True), NodeRecord("node-1", "192.168.49.3"))


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
        ("admin", "kubernetes-admin", ["kubeadm:cluster-admins"]),
        ("scheduler@cp-1", "system:kube-scheduler", []),
        ("controller-manager@cp-1", "system:kube-controller-manager", []),
        ("kube-proxy@node-1", "system:kube-proxy", []),
        ("kubelet@node-1", "system:node:node-1", ["system:nodes"]),
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", []),
        ("apiserver-etcd-client", "kube-apiserver-etcd-client", []),
    ],
)
def test_identities_have_kubeadm_names(folder: Path, file: str, common_name: str, organisation: list[str]) -> None:
    assert subject(folder, file, NameOID.COMMON_NAME) == [common_name]
    assert subject(folder, file, NameOID.ORGANIZATION_NAME) == organisation


def test_the_api_server_serves_under_all_its_names(folder: Path) -> None:
    names = (
        certificate(folder, "api-server@cp-1-serving")
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert {"localhost", "kubernetes", "kubernetes.default.svc.cluster.local", "cp-1"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    assert {"127.0.0.1", "192.168.49.2", "10.96.0.1"} <= {str(a) for a in names.get_values_for_type(x509.IPAddress)}


def usages(folder: Path, name: str) -> set[x509.ObjectIdentifier]:
    return set(certificate(folder, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def alternative_names(folder: Path, name: str) -> list[str]:
    try:
        found = certificate(folder, name).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(one.value) for one in found]


def test_a_certificate_is_a_clients_or_a_servers(folder: Path) -> None:
    bindings = [one for one in default_objects() if isinstance(one, rbac_pb2.ClusterRoleBinding | rbac_pb2.RoleBinding)]
    bound = {subject.name for binding in bindings for subject in binding.subjects}
    for identity in pki.identities(NODES):
        both = identity.file.startswith("etcd@")  # a member is a client of the others
        server = identity.file.endswith("-serving")
        wanted = {CLIENT, SERVER} if both else {SERVER} if server else {CLIENT}
        assert usages(folder, identity.file) == wanted, identity.file
        assert subject(folder, identity.file, NameOID.COMMON_NAME) == [identity.common_name]
        if server:  # it would be nobody, were it taken for a client's
            assert subject(folder, identity.file, NameOID.ORGANIZATION_NAME) == []
            assert identity.common_name not in bound | set(roles.USERS)


def test_no_server_but_the_api_server_passes_for_one(folder: Path) -> None:
    servers = {i.file: alternative_names(folder, i.file) for i in pki.identities(NODES) if SERVER in i.usages}
    of_api_servers = set(servers.pop("api-server@cp-1-serving"))
    of_etcd = set(servers.pop("etcd@cp-1"))  # of another authority
    assert of_etcd == {"cp-1", "192.168.49.2", "localhost", "127.0.0.1"}
    assert {name for names in servers.values() for name in names} & of_api_servers == set()
    assert servers == {
        "kubelet@cp-1-serving": ["kubelet.cp-1"],
        "kubelet@node-1-serving": ["kubelet.node-1"],
        "kube-proxy@cp-1-serving": ["kube-proxy.cp-1"],
        "kube-proxy@node-1-serving": ["kube-proxy.node-1"],
        "scheduler@cp-1-serving": ["scheduler.cp-1"],
        "controller-manager@cp-1-serving": ["controller-manager.cp-1"],
    }


@pytest.mark.parametrize("process", ["scheduler@cp-1", "controller-manager@cp-1", "kubelet@node-1", "kube-proxy@cp-1"])
def test_a_component_is_known_by_its_process(folder: Path, process: str) -> None:
    assert user_from_certificate(certificate(folder, process)).process == process


@pytest.mark.parametrize("file", ["kubelet@node-1-serving", "api-server@cp-1-serving"])
def test_a_servers_certificate_is_no_user(folder: Path, file: str) -> None:
    with pytest.raises(errors.Unauthorized):
        user_from_certificate(certificate(folder, file))


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


def test_authorities_last_ten_years_and_certificates_one(folder: Path) -> None:
    lasts = {path.stem: certificate(folder, path.stem).not_valid_after_utc - NOW for path in folder.glob("*.crt")}
    authorities = ("ca", "etcd-ca", "client-ca", "client-cas")
    assert {lasts.pop(name) for name in authorities} == {3650 * pki.DAY}
    assert set(lasts.values()) == {365 * pki.DAY}


def test_what_has_less_than_a_third_of_its_time_is_made_again(tmp_path: Path) -> None:
    first = pki.ensure(tmp_path, NODES, NOW)
    assert first.due == NOW + pki.VALIDITY * 2 / 3
    assert pki.renew(tmp_path, NODES, first.due - pki.DAY).files == ()
    renewed = pki.renew(tmp_path, NODES, first.due)
    assert set(renewed.files) == {identity.file for identity in pki.identities(NODES)}
    assert renewed.due == first.due + pki.VALIDITY * 2 / 3


def test_an_authority_that_ends_before_its_certificates_is_made_again_at_the_start(tmp_path: Path) -> None:
    pki.ensure(tmp_path, NODES, NOW)
    before = (tmp_path / "ca.crt").read_bytes()
    late = NOW + pki.AUTHORITY_VALIDITY - pki.VALIDITY
    pki.renew(tmp_path, NODES, late)
    assert (tmp_path / "ca.crt").read_bytes() == before  # not while the cluster runs
    pki.ensure(tmp_path, NODES, late)
    assert (tmp_path / "ca.crt").read_bytes() != before
    certificate(tmp_path, "admin").verify_directly_issued_by(certificate(tmp_path, "ca"))


def test_certificates_of_an_earlier_version_are_replaced_or_deleted(tmp_path: Path) -> None:
    pki.ensure(tmp_path, NODES, NOW)
    ca = pki.authority(tmp_path, "ca")
    old = pki.CertificateIdentity("admin", "kubernetes-admin", "system:masters")
    pki.issue(tmp_path, old, ca, NOW)
    pki.issue(tmp_path, replace(old, file="runtime@node-1"), ca, NOW)
    pki.issue(tmp_path, pki.identities(NODES)[1], ca, NOW, 10 * pki.VALIDITY)
    assert pki.ensure(tmp_path, NODES, NOW).files == ("admin", "supervisor")
    assert not list(tmp_path.glob("runtime*"))
