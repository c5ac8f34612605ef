"""A cluster's certificates: three authorities, and client and server certificates apart, with kubeadm's names.

etcd has an authority of its own, as with kubeadm: it accepts api-servers, other members and health checks, and no other
client. So have certificate signing requests, other than with kubeadm: the controller-manager, which signs them, holds
that authority's key alone, and only api-servers take its word (``client-cas.crt``).

A certificate is a client's or a server's, by its extended key usage; only etcd's members have both, because each member
is also a client of the others and of itself. A server's certificate holds the names that it is reached by: a
component's its process (``kubelet.node-1``), the api-server's the names and addresses that people and pods use.

Authorities last for ten years, certificates for one. One that has less than a third of its time left is made anew; what
is there and good is used again. Keys are EC P-256 (sixteen of them take a few milliseconds, RSA keys would take
seconds), written with mode 0600 and never logged. https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.auth import roles
from kubelab.auth.users import NODE_PREFIX, NODES, PROCESS_URI
from kubelab.client.kubeconfig import API_SERVER_NAME
from kubelab.files import atomicfile
from kubelab.topology.components import server_name
from kubelab.topology.record import NodeRecord

DAY = datetime.timedelta(days=1)
AUTHORITY_VALIDITY, VALIDITY = 3650 * DAY, 365 * DAY
RENEW_BEFORE = VALIDITY / 3
SKEW = DAY  # clocks of a laboratory are set back now and then
SERVICE_ADDRESS = "10.96.0.1"
API_SERVER_NAMES = (
    "localhost",
    "127.0.0.1",
    SERVICE_ADDRESS,
    API_SERVER_NAME,
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
TOKEN_KEY = "sa"  # kubeadm's name for the key that signs service accounts' tokens
CLIENT_AUTHORITY = "client-ca"  # signs certificate signing requests
CLIENT_AUTHORITIES = "client-cas"  # whose clients api-servers accept: a bundle of the cluster's authority and this one
AUTHORITIES = {"ca": "kubelab-ca", "etcd-ca": "kubelab-etcd-ca", CLIENT_AUTHORITY: "kubelab-client-ca"}
CLIENT, SERVER = (ExtendedKeyUsageOID.CLIENT_AUTH,), (ExtendedKeyUsageOID.SERVER_AUTH,)

Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """The subject of a certificate. ``names`` are DNS names and IP addresses that it may serve under; ``process`` is
    the process that a client's certificate is made for."""

    file: str
    common_name: str
    organisation: str = ""
    names: tuple[str, ...] = ()
    process: str = ""
    usages: tuple[x509.ObjectIdentifier, ...] = CLIENT
    authority: str = "ca"


class Renewed(NamedTuple):
    """``files`` are the certificates that were made; ``due`` is when the first of all will have to be renewed."""

    files: tuple[str, ...]
    due: datetime.datetime


def serving(process: str) -> str:
    """Name the file of a process's server certificate: ``kubelet@node-1-serving``."""
    return f"{process}-serving"


def identities(
    nodes: Sequence[NodeRecord], names: Mapping[str, tuple[str, ...]] | None = None
) -> list[CertificateIdentity]:
    """List the certificates that a cluster of these nodes needs.

    ``names`` are what api-servers and etcd members are called besides, by process: ``{"etcd@cp-1": ("etcd",)}``.
    """
    more = names or {}
    all_identities = [
        CertificateIdentity("admin", "kubernetes-admin", roles.ADMINS),
        CertificateIdentity("supervisor", roles.SUPERVISOR, process="supervisor"),
        CertificateIdentity("apiserver-kubelet-client", roles.KUBELET_CLIENT),
        CertificateIdentity("apiserver-etcd-client", "kube-apiserver-etcd-client", authority="etcd-ca"),
        CertificateIdentity("etcd-healthcheck-client", "kube-etcd-healthcheck-client", authority="etcd-ca"),
    ]
    for node in nodes:
        all_identities += [
            *_component(f"kubelet@{node.name}", f"{NODE_PREFIX}{node.name}", NODES),
            *_component(f"kube-proxy@{node.name}", roles.KUBE_PROXY),
        ]
        if node.control_plane:
            all_identities += [
                *_component(f"scheduler@{node.name}", roles.SCHEDULER),
                *_component(f"controller-manager@{node.name}", roles.CONTROLLER_MANAGER),
                _api_server(node, more.get(f"api-server@{node.name}", ())),
                _etcd(node, more.get(f"etcd@{node.name}", ())),
            ]
    return all_identities


def _component(process: str, user: str, group: str = "") -> tuple[CertificateIdentity, CertificateIdentity]:
    """A component's two certificates: the one that it shows to api-servers, and the one that it serves with."""
    return (
        CertificateIdentity(process, user, group, process=process),
        CertificateIdentity(serving(process), process, names=(server_name(process),), usages=SERVER),
    )


def _api_server(node: NodeRecord, more: tuple[str, ...]) -> CertificateIdentity:
    names = (node.name, node.address, *API_SERVER_NAMES, *more)
    return CertificateIdentity(serving(f"api-server@{node.name}"), "kube-apiserver", names=names, usages=SERVER)


def _etcd(node: NodeRecord, more: tuple[str, ...]) -> CertificateIdentity:
    names = (node.name, node.address, "localhost", "127.0.0.1", *more)
    return CertificateIdentity(f"etcd@{node.name}", node.name, names=names, usages=SERVER + CLIENT, authority="etcd-ca")


def ensure(
    folder: Path,
    nodes: Sequence[NodeRecord],
    now: datetime.datetime,
    names: Mapping[str, tuple[str, ...]] | None = None,
) -> Renewed:
    """Make every authority and certificate that is missing, wrong or near its end, and delete those that
    no process needs any more. OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file, name in AUTHORITIES.items():
        pair = _load(folder, file)
        if pair is None or not _usable(pair[0], now, VALIDITY):  # it must outlive what it signs
            _write(folder, file, *_self_signed(name, now))
    needed = identities(nodes, names)
    _ensure_token_key(folder)
    _ensure_bundle(folder)
    _delete_others(folder, {*AUTHORITIES, CLIENT_AUTHORITIES, TOKEN_KEY, *(identity.file for identity in needed)})
    return _renew(folder, needed, now)


def renew(
    folder: Path,
    nodes: Sequence[NodeRecord],
    now: datetime.datetime,
    names: Mapping[str, tuple[str, ...]] | None = None,
) -> Renewed:
    """Make certificates anew that are near their end, in a cluster that runs. The authorities stay: what they have
    signed is in use. OSError when the folder cannot be read or written.
    """
    return _renew(folder, identities(nodes, names), now)


def _renew(folder: Path, needed: Sequence[CertificateIdentity], now: datetime.datetime) -> Renewed:
    signers = {file: authority(folder, file) for file in AUTHORITIES}
    renewed: list[str] = []
    ends: list[datetime.datetime] = []
    for identity in needed:
        certificate = _good(folder, identity, signers[identity.authority][0], now)
        if certificate is None:
            certificate = issue(folder, identity, signers[identity.authority], now)
            renewed.append(identity.file)
        ends.append(certificate.not_valid_after_utc)
    return Renewed(tuple(renewed), min(ends) - RENEW_BEFORE)


def _ensure_token_key(folder: Path) -> None:
    """Make the key that signs service accounts' tokens, once: a new one would end every token."""
    path = folder / f"{TOKEN_KEY}.key"
    try:
        serialization.load_pem_private_key(path.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        atomicfile.write(path, _pem(ec.generate_private_key(ec.SECP256R1())), mode=0o600)


def _ensure_bundle(folder: Path) -> None:
    """Put the authorities together whose clients api-servers accept."""
    path = folder / f"{CLIENT_AUTHORITIES}.crt"
    pem = b"".join((folder / f"{file}.crt").read_bytes() for file in ("ca", CLIENT_AUTHORITY))
    if not path.exists() or path.read_bytes() != pem:
        atomicfile.write(path, pem, mode=0o644)


def authority(folder: Path, file: str) -> Signer:
    """Read an authority; FileNotFoundError."""
    pair = _load(folder, file)
    if pair is None:
        raise FileNotFoundError(f"{folder / file}.crt: the authority is missing or broken")
    return pair


def _delete_others(folder: Path, needed: set[str]) -> None:
    """Delete certificates and keys of identities that the cluster does not have: an old key is still a key."""
    for path in (*folder.glob("*.crt"), *folder.glob("*.key")):
        if path.stem not in needed:
            path.unlink()


def _good(
    folder: Path, identity: CertificateIdentity, authority: x509.Certificate, now: datetime.datetime
) -> x509.Certificate | None:
    """The certificate that is there, if it is what would be made now and far from its end."""
    pair = _load(folder, identity.file)
    if pair and _usable(pair[0], now) and _says(pair[0], identity) and _signed_by(pair[0], authority):
        return pair[0]
    return None


def issue(
    folder: Path,
    identity: CertificateIdentity,
    authority: Signer,
    now: datetime.datetime,
    validity: datetime.timedelta = VALIDITY,
) -> x509.Certificate:
    """Make a key and a certificate. OSError when they cannot be written."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca, ca_key = authority
    builder = (
        _builder(_subject(identity), ca.subject, now, validity)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(identity.usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if names := _general_names(identity):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    _write(folder, identity.file, certificate, key)
    return certificate


def _self_signed(name: str, now: datetime.datetime) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, now, AUTHORITY_VALIDITY)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, now: datetime.datetime, validity: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + validity)
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


def _subject(identity: CertificateIdentity) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organisation)] if identity.organisation else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)])


def _general_names(identity: CertificateIdentity) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys(identity.names):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    if identity.process:
        names.append(x509.UniformResourceIdentifier(f"{PROCESS_URI}{identity.process}"))
    return names


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


def _usable(certificate: x509.Certificate, now: datetime.datetime, margin: datetime.timedelta = RENEW_BEFORE) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - margin


def _says(certificate: x509.Certificate, identity: CertificateIdentity) -> bool:
    """Whether a certificate is what would be made now. One that lasts longer is of an earlier version."""
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if certificate.subject != _subject(identity) or lasts > VALIDITY + SKEW:
        return False
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    names = _extension(certificate, x509.SubjectAlternativeName)
    return usages == list(identity.usages) and names == _general_names(identity)


def _extension(
    certificate: x509.Certificate, kind: type[x509.ExtendedKeyUsage | x509.SubjectAlternativeName]
) -> list[object]:
    try:
        return list(certificate.extensions.get_extension_for_class(kind).value)
    except x509.ExtensionNotFound:
        return []


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    return True


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    atomicfile.write(folder / f"{name}.key", _pem(key), mode=0o600)
    atomicfile.write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
