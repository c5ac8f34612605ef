"""kubeconfig files: upstream's shape, and words for what is wrong with one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kubelab.client.kubeconfig import Kubeconfig, KubeconfigError, KubeconfigMissing, servers_of

UPSTREAM = """\
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- name: lab
  cluster:
    server: https://127.0.0.1:6443,https://127.0.0.1:7443
    certificate-authority: pki/ca.crt
    tls-server-name: kubernetes
users:
- name: admin
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: other
  user: {token: secret-token}
contexts:
- name: admin@lab
  context: {cluster: lab, user: admin, namespace: team}
current-context: admin@lab
"""


def test_access_follows_the_context(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.crt").write_bytes(b"ca")
    (tmp_path / "config").write_text(UPSTREAM)
    access = Kubeconfig.load(tmp_path / "config").access()
    assert access.servers == ("127.0.0.1:6443", "127.0.0.1:7443")
    assert (access.ca, access.certificate, access.key) == (b"ca", b"cert", b"key")
    assert (access.server_name, access.namespace, access.context) == ("kubernetes", "team", "admin@lab")
    assert "key" not in repr(access).split("certificate", 1)[1]


def test_writing_keeps_what_is_not_known(tmp_path: Path) -> None:
    config = Kubeconfig.parse(UPSTREAM)
    config.set_cluster("new", server="https://127.0.0.1:1", ca=b"a", certificate=b"b", key=b"c")
    path = tmp_path / "deep" / "config"
    config.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["config"]
    again = Kubeconfig.load(path)
    assert again.document["preferences"] == {"colors": True}
    assert [c.name for c in again.contexts()] == ["admin@lab", "new"]
    assert again.access().servers == ("127.0.0.1:1",)
    again.remove_cluster("new")
    again.remove_cluster("new")
    assert again.current_context == "", "nobody chose another one"
    with pytest.raises(KubeconfigError, match="choose one of admin@lab: kctl config use-context NAME"):
        again.access()
    assert again.document["clusters"] == config.document["clusters"][:1]
    assert "secret-token" not in str(again.redacted())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty or not a mapping"),
        ("[a]", "it is empty or not a mapping"),
        ("a: [", "error loading config file"),
        ("clusters: {}\nusers: x", "users: expected a list"),
        ("clusters: [{cluster: {}}]", r"clusters\[0\]: expected a name and a cluster"),
        ("contexts: [{name: a, context: b}]", r"contexts\[0\]: expected a name and a context"),
    ],
)
def test_wrong_files(text: str, told: str) -> None:
    with pytest.raises(KubeconfigError, match=told):
        Kubeconfig.parse(text, Path("config"))


@pytest.mark.parametrize(
    ("change", "context", "told"),
    [
        ("current-context: admin@lab", "", "current-context is not set"),
        ("", "nope", 'context "nope" does not exist'),
        ("- name: lab", "", 'cluster "lab" does not exist'),
        ("https://127.0.0.1:6443,", "", "is not an https:// address"),
        ("Y2VydA==", "", "client-certificate-data is not base64"),
        ("", "", "unable to read certificate-authority .*pki/ca.crt"),
    ],
)
def test_wrong_accesses(tmp_path: Path, change: str, context: str, told: str) -> None:
    replacement = {"- name: lab": "- name: x", "https://127.0.0.1:6443,": "ftp://a,", "Y2VydA==": "'%'"}.get(change, "")
    text = UPSTREAM.replace(change, replacement) if change else UPSTREAM
    if "https" not in told and "base64" not in told and "read" not in told:
        text = text.replace("    certificate-authority: pki/ca.crt\n", "")
    if "base64" in told:
        text = text.replace("    certificate-authority: pki/ca.crt\n", "")
    with pytest.raises(KubeconfigError, match=told):
        Kubeconfig.parse(text, tmp_path / "config").access(context)


def test_what_root_writes_for_somebody_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "5678")
    path = tmp_path / "config"
    Kubeconfig.parse(UPSTREAM).write(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid) == ((1234, 5678) if os.geteuid() == 0 else (os.geteuid(), os.getegid()))
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigMissing, match="no such file"):
        Kubeconfig.load(tmp_path / "none")
    with pytest.raises(KubeconfigError):
        Kubeconfig.load(tmp_path)


@pytest.mark.parametrize(
    ("urls", "targets"),
    [
        ("https://a:1", ("a:1",)),
        ("https://a", ("a:443",)),
        ("a:1, https://b:2/", ("a:1", "b:2")),
        ("https://[::1]:5", ("[::1]:5",)),
        ("https://[::1]", ("[::1]:443",)),
    ],
)
def test_servers(urls: str, targets: tuple[str, ...]) -> None:
    assert servers_of(urls) == targets


def test_every_server_is_named_and_other_clients_find_the_first(tmp_path: Path) -> None:
    config = Kubeconfig()
    urls = "https://127.0.0.1:1,https://127.0.0.1:2"
    config.set_cluster("lab", server=urls, ca=b"a", certificate=b"b", key=b"c")
    config.write(tmp_path / "config")
    again = Kubeconfig.load(tmp_path / "config")
    assert again.server() == "https://127.0.0.1:1"
    assert again.access().servers == ("127.0.0.1:1", "127.0.0.1:2")
    again.document["clusters"][0]["cluster"]["extensions"][0]["extension"] = {"servers": "x"}
    with pytest.raises(KubeconfigError, match="extension 'kubelab' names no servers"):
        again.access()
