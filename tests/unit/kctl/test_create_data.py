"""``kctl create configmap`` and ``kctl create secret``: keys and values from literals, files, folders and env files.

The names with hashes and the errors are those that kubectl 1.32 prints for the same command lines.
"""

from __future__ import annotations

import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kubelab.apimachinery.scheme import CONFIG_MAPS, SECRETS
from kubelab.kctl.create import keypair
from tests.unit.kctl.conftest import Shell

KEY_MESSAGE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
ENV_MESSAGE = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    "'[-._a-zA-Z][-._a-zA-Z0-9]*')"
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the files that the command lines name."""
    (tmp_path / "d" / "nested").mkdir(parents=True)
    (tmp_path / "d" / "one.txt").write_text("hello\n")
    (tmp_path / "d" / "bin").write_bytes(b"\xff\xfe")
    (tmp_path / "d" / "link").symlink_to("one.txt")
    (tmp_path / "f1").write_text("1\n")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "e.env").write_bytes(b"\xef\xbb\xbfa=1\n# comment\n\n  B=x=y\nFROM_HERE\n")
    (tmp_path / "bad.env").write_text("1a b=2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROM_HERE", "yes")
    return tmp_path


def test_a_config_map_has_what_its_sources_have(shell: Shell, files: Path) -> None:
    assert shell("create", "cm", "c", "--from-file=d", "--from-file=k=f1", "--from-literal=a=1,b=2").code == 0
    made = shell.server.get(CONFIG_MAPS, "default/c")
    assert made is not None
    assert dict(made.data) == {"one.txt": "hello\n", "k": "1\n", "a": "1,b=2"}
    assert dict(made.binaryData) == {"bin": b"\xff\xfe"}
    assert shell("create", "configmap", "env", "--from-env-file=e.env").stdout == "configmap/env created\n"
    made = shell.server.get(CONFIG_MAPS, "default/env")
    assert made is not None
    assert dict(made.data) == {"a": "1", "B": "x=y", "FROM_HERE": "yes"}
    again = shell("create", "configmap", "env")
    assert again.stderr == 'error: failed to create configmap: configmaps "env" already exists\n'


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("configmap c --from-literal=a=1", "c-9dtcmmmm5t"),
        ("configmap c --from-file=k=f1", "c-mm6hf5t262"),
        ("configmap c --from-file=d", "c-f9g9c5gdgc"),
        ("configmap c", "c-94b26g54cg"),
        ('configmap c --from-literal=h=<a>&"é"\t\'x', None),
        ("secret generic c --from-literal=a=1", "c-82m4hgf258"),
    ],
)
def test_append_hash(shell: Shell, files: Path, command: str, name: str | None) -> None:
    typed = shell("create", *command.split(" "), "--append-hash", "--dry-run=client", "-o", "name")
    if name is not None:
        assert typed.stdout == f"{command.split()[0]}/{name}\n"
    assert typed.code == 0
    assert shell("create", *command.split(" "), "--append-hash", "--dry-run=client", "-o", "name") == typed


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("configmap c --from-literal=a", "invalid literal source a, expected key=value"),
        ("configmap c --from-literal==a", "invalid literal source =a, expected key=value"),
        (
            "configmap c --from-literal=a=1 --from-literal=a=2",
            'cannot add key "a", another key by that name already exists in Data for ConfigMap "c"',
        ),
        ("configmap c --from-literal=a/b=1", f'"a/b" is not a valid key name for a ConfigMap: {KEY_MESSAGE}'),
        ("configmap c --from-file=k=f1=3", "key names or file paths cannot contain '='"),
        ("configmap c --from-file==f1", "key name for file path f1 missing"),
        ("configmap c --from-file=k=", "file path for key name k missing"),
        ("configmap c --from-file=nope", "error reading nope: no such file or directory"),
        ("configmap c --from-file=x=d", "cannot give a key name for a directory path"),
        (
            "configmap c --from-env-file=e.env --from-literal=a=1",
            "from-env-file cannot be combined with from-file or from-literal",
        ),
        ("configmap c --from-env-file=d", "env config file cannot be a directory"),
        ("configmap c --from-env-file=nope", "error reading nope: no such file or directory"),
        ("configmap c --from-env-file=bad.env", f'"1a b" is not a valid key name: {ENV_MESSAGE}'),
        ("secret generic c --from-literal=a/b=1", f'"a/b" is not valid key name for a Secret {KEY_MESSAGE}'),
        (
            "secret generic c --from-literal=a=1 --from-literal=a=2",
            "cannot add key a, another key by that name already exists",
        ),
        ("secret generic c --from-env-file=d", "env secret file cannot be a directory"),
        (
            "secret docker-registry r",
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server is "
            "required",
        ),
        ("secret tls t --cert=f1", "key and cert must be specified"),
        ("secret tls t --cert=nope --key=f1", "Cannot read file nope, open nope: no such file or directory"),
        ("secret tls t --cert=f1 --key=f1", "tls: failed to find any PEM data in certificate input"),
    ],
)
def test_refused(shell: Shell, files: Path, command: str, error: str) -> None:
    typed = shell("create", *command.split(" "), "--dry-run=client", "-o", "yaml")
    assert (typed.code, typed.stdout, typed.stderr) == (1, "", f"error: {error}\n")


def test_secrets(shell: Shell, files: Path) -> None:
    assert shell("create", "secret", "generic", "s", "--from-file=d", "--type=a/b").stdout == "secret/s created\n"
    made = shell.server.get(SECRETS, "default/s")
    assert made is not None
    assert (made.type, dict(made.data)) == ("a/b", {"one.txt": b"hello\n", "bin": b"\xff\xfe"})
    login = ("--docker-username=u", "--docker-password=p", "--docker-email=e@x", "--docker-server=reg.example")
    assert shell("create", "secret", "docker-registry", "r", *login).code == 0
    made = shell.server.get(SECRETS, "default/r")
    assert made is not None
    assert made.type == "kubernetes.io/dockerconfigjson"
    assert dict(made.data) == {
        ".dockerconfigjson": base64.b64decode(  # what kubectl makes of the same flags
            "eyJhdXRocyI6eyJyZWcuZXhhbXBsZSI6eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAiLCJlbWFpbCI6ImVAeCIsImF1dGgiOiJkVH"
            "B3In19fQ=="
        )
    }
    assert shell("create", "secret", "docker-registry", "f", "--from-file=config.json").code == 0
    made = shell.server.get(SECRETS, "default/f")
    assert made is not None
    assert dict(made.data) == {".dockerconfigjson": b"{}"}


def test_tls_secrets_hold_a_pair(shell: Shell, files: Path) -> None:
    certificate, key = _pair(ec.generate_private_key(ec.SECP256R1()))
    (files / "c.pem").write_bytes(certificate)
    (files / "k.pem").write_bytes(key)
    assert shell("create", "secret", "tls", "t", "--cert=c.pem", "--key=k.pem").stdout == "secret/t created\n"
    made = shell.server.get(SECRETS, "default/t")
    assert made is not None
    assert (made.type, dict(made.data)) == ("kubernetes.io/tls", {"tls.crt": certificate, "tls.key": key})


def test_a_pair_that_is_none() -> None:
    certificate, key = _pair(ec.generate_private_key(ec.SECP256R1()))
    _, other = _pair(ec.generate_private_key(ec.SECP256R1()))
    _, rsa_key = _pair(rsa.generate_private_key(65537, 2048))
    swapped = (
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may "
        "have been switched"
    )
    no_key = "tls: found a certificate rather than a key in the PEM for the private key"
    assert keypair.problem(certificate, key) == ""
    assert keypair.problem(certificate, other) == "tls: private key does not match public key"
    assert keypair.problem(certificate, rsa_key) == "tls: private key type does not match public key type"
    assert keypair.problem(key, certificate) == swapped
    assert keypair.problem(certificate, certificate) == no_key
    assert keypair.problem(certificate, b"x") == "tls: failed to find any PEM data in key input"


def _pair(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> tuple[bytes, bytes]:
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "x")])
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private
