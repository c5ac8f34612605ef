"""A cluster's certificates: two authorities and one certificate per identity, with kubeadm's names.

etcd has an authority of its own, as with kubeadm, so that it accepts nobody but api-servers, other members, and whoever
looks after its health. Keys are EC P-256
(sixteen of them take a few milliseconds, RSA keys would take seconds), written with mode 0600 and never logged.
What is there and still valid is used again, so that a kubeconfig that somebody copied keeps working.
https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.cluster.record import Node

DAY = datetime.timedelta(days=1)
VALIDITY = 3650 * DAY
RENEW_BEFORE = 30 * DAY
SERVICE_ADDRESS = "10.96.0.1"
API_SERVER_NAMES = (
    "localhost",
    "127.0.0.1",
    SERVICE_ADDRESS,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate speaks for. ``names`` are DNS names and IP addresses that it may serve under."""

    file: str
    common_name: str
    organisation: str = ""
    names: tuple[str, ...] = ()
    authority: str = "ca"


def identities(nodes: Sequence[Node], names: Mapping[str, tuple[str, ...]] | None = None) -> list[Identity]:
    """List the certificates that a cluster of these nodes needs.

    ``names`` are what a server is called besides its node, by the certificate's file: ``{"etcd@cp-1": ("etcd",)}``.
    """
    found = [
        Identity("admin", "kubernetes-admin", "system:masters"),
        Identity("supervisor", "kubelab-supervisor"),
        Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Identity("apiserver-etcd-client", "kube-apiserver-etcd-client", authority="etcd-ca"),
        Identity("etcd-healthcheck-client", "kube-etcd-healthcheck-client", authority="etcd-ca"),
    ]
    for node in nodes:
        here = (node.name, node.address, "localhost", "127.0.0.1")
        found += [
            Identity(f"kubelet@{node.name}", f"system:node:{node.name}", "system:nodes", here),
            Identity(f"kube-proxy@{node.name}", "system:kube-proxy", names=here),
            Identity(f"runtime@{node.name}", f"kubelab:runtime:{node.name}", names=here),
        ]
        if node.control_plane:
            found += [
                Identity(
                    f"api-server@{node.name}", "kube-apiserver", names=(node.name, node.address, *API_SERVER_NAMES)
                ),
                Identity(f"scheduler@{node.name}", "system:kube-scheduler", names=here),
                Identity(f"controller-manager@{node.name}", "system:kube-controller-manager", names=here),
                Identity(f"etcd@{node.name}", node.name, names=here, authority="etcd-ca"),
            ]
    more = names or {}
    return [replace(one, names=(*one.names, *more[one.file])) if one.file in more else one for one in found]


def ensure(
    folder: Path,
    nodes: Sequence[Node],
    now: datetime.datetime,
    names: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Make every missing or expiring certificate. OSError when the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = identities(nodes, names)
    for authority, name in (("ca", "kubelab-ca"), ("etcd-ca", "kubelab-etcd-ca")):
        made = _load(folder, authority)
        if made is None or not _usable(made[0], now):
            made = _self_signed(name, now)
            _write(folder, authority, *made)
        for identity in wanted:
            if identity.authority == authority:
                _ensure_one(folder, identity, made, now)


def _ensure_one(
    folder: Path,
    identity: Identity,
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: datetime.datetime,
) -> None:
    found = _load(folder, identity.file)
    if found and _usable(found[0], now) and _says(found[0], identity) and _signed_by(found[0], authority[0]):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if identity.names else [])]
    ca, ca_key = authority
    builder = (
        _builder(_subject(identity), ca.subject, now)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if identity.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(identity.names)), critical=False)
    _write(folder, identity.file, builder.sign(ca_key, hashes.SHA256()), key)


def _self_signed(name: str, now: datetime.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)  # clocks of a laboratory are set back now and then
        .not_valid_after(now + VALIDITY)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(identity: Identity) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organisation)] if identity.organisation else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)])


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _load(folder: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """Read a certificate and its key; None when one is missing, broken, or they do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key


def _usable(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE


def _says(certificate: x509.Certificate, identity: Identity) -> bool:
    if certificate.subject != _subject(identity):
        return False
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    return names == _general_names(identity.names)


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    return True


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(folder / f"{name}.key", pem, 0o600)
    _replace(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    temporary.replace(path)
