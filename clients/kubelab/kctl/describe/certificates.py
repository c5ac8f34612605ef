"""What is said of certificate signing requests (kubectl's ``describeCertificateSigningRequest``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from kubelab.api.certificates.v1 import certificates_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.certificates import requests, signers
from kubelab.apimachinery.timestamps import human_duration
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import Writer, comma_labels, moment
from kubelab.kctl.session import Failed

_SUBJECT = (
    ("Organization", NameOID.ORGANIZATION_NAME),
    ("Organizational Unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("Country", NameOID.COUNTRY_NAME),
    ("Locality", NameOID.LOCALITY_NAME),
    ("Province", NameOID.STATE_OR_PROVINCE_NAME),
    ("StreetAddress", NameOID.STREET_ADDRESS),
    ("PostalCode", NameOID.POSTAL_CODE),
)


def signing_request(
    csr: certificates_pb2.CertificateSigningRequest, object_events: Sequence[core_pb2.Event] | None, now: float
) -> str:
    """Describe a request and what it asks for. Failed where that cannot be read."""
    try:
        asked = requests.parse(csr.spec.request)
        names = requests.alternative_names(asked)
    except requests.RequestError as err:
        raise Failed(f"error: Error parsing CSR: {err}") from err
    w, m, spec = Writer(), csr.metadata, csr.spec
    w.field("Name", m.name)
    _pairs(w, "Labels", m.labels)
    _pairs(w, "Annotations", m.annotations)
    w.field("CreationTimestamp", moment(m.creationTimestamp))
    w.field("Requesting User", spec.username)
    if spec.signerName:
        w.field("Signer", spec.signerName)
    if spec.HasField("expirationSeconds"):
        w.field("Requested Duration", human_duration(spec.expirationSeconds))
    w.field("Status", signers.progress(csr))
    _subject(w, asked)
    _alternative_names(w, names)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def _subject(w: Writer, asked: x509.CertificateSigningRequest) -> None:
    w.line("Subject:")
    w.line(f"\tCommon Name:\t{requests.common_name(asked)}")
    w.line(f"\tSerial Number:\t{''.join(requests.names(asked.subject, NameOID.SERIAL_NUMBER)[-1:])}")
    for title, kind in _SUBJECT:
        _listed(w, title, requests.names(asked.subject, kind))


def _alternative_names(w: Writer, names: x509.SubjectAlternativeName) -> None:
    groups = (
        ("DNS Names", requests.dns_names(names)),
        ("Email Addresses", requests.emails(names)),
        ("URIs", requests.uris(names)),
        ("IP Addresses", requests.addresses(names)),
    )
    if any(values for _, values in groups):
        w.line("Subject Alternative Names:")
        for title, values in groups:
            _listed(w, title, values)


def _listed(w: Writer, title: str, values: Sequence[str]) -> None:
    for n, value in enumerate(values):
        w.line(f"\t{'' if n else f'{title}:'}\t{value}")


def _pairs(w: Writer, title: str, pairs: Mapping[str, str]) -> None:
    """Write ``a=1,b=2``, by key; a value of several lines as it is."""
    first, *rest = comma_labels(pairs).split("\n")
    w.field(title, first)
    for line in rest:
        w.line(line)
