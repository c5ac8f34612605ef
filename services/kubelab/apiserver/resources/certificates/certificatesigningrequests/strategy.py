"""Certificate signing requests: what they ask for, which stays, and what may be decided on them
(upstream: ``pkg/apis/certificates/validation``)."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography import x509

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.certificates import requests
from kubelab.apimachinery.certificates.signers import APPROVED, DENIED, FAILED, LEGACY_UNKNOWN
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata
from kubelab.apiserver.strategies.base import Strategy

USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
LEAST_SECONDS = 600
MAX_DOMAIN = 253
MAX_SIGNER_NAME = MAX_DOMAIN + 1 + 253 + 1 + 63  # DOMAIN/NAMESPACE.NAME
_BEGIN, _CERTIFICATE = b"-----BEGIN ", b"-----BEGIN CERTIFICATE-----"
_SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


class CertificateSigningRequestStrategy(Strategy[pb.CertificateSigningRequest]):
    """Who asks is filled in at admission."""

    check_name: metadata.NameCheck = staticmethod(names.path_segment)

    def prepare_for_update(self, obj: pb.CertificateSigningRequest, old: pb.CertificateSigningRequest) -> None:
        """Keep all but the metadata: a request that is made does not change."""
        super().prepare_for_update(obj, old)
        obj.spec.CopyFrom(old.spec)

    def validate_content(self, obj: pb.CertificateSigningRequest) -> list[Cause]:
        return [*_spec(obj.spec), *conditions(obj)]

    def selectable_fields(self, obj: pb.CertificateSigningRequest) -> Mapping[str, str]:
        return {"metadata.name": obj.metadata.name, "spec.signerName": obj.spec.signerName}


def _spec(spec: pb.CertificateSigningRequestSpec) -> list[Cause]:
    complaints: list[Cause] = []
    try:
        requests.verify(requests.parse(spec.request))
    except requests.RequestError as err:
        complaints.append(causes.invalid("spec.request", causes.Raw(_shown(spec.request)), str(err)))
    if not spec.usages:
        complaints.append(causes.required("spec.usages"))
    for i, usage in enumerate(spec.usages):
        if usage not in USAGES:
            complaints.append(causes.unsupported(f"spec.usages[{i}]", usage, USAGES))
        if usage in spec.usages[:i]:
            complaints.append(causes.duplicate(f"spec.usages[{i}]", usage))
    complaints += _signer("spec.signerName", spec.signerName)
    if spec.HasField("expirationSeconds") and spec.expirationSeconds < LEAST_SECONDS:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        complaints.append(causes.invalid("spec.expirationSeconds", spec.expirationSeconds, why))
    return complaints


def _shown(data: bytes) -> str:
    """Bytes as Go prints them in these messages."""
    return "[]byte{" + ", ".join(f"0x{byte:x}" for byte in data) + "}" if data else "[]byte(nil)"


def _signer(field: str, name: str) -> list[Cause]:
    """Upstream's ``ValidateSignerName``, and no name that only earlier versions of the API had."""
    if name == LEGACY_UNKNOWN:
        return [causes.invalid(field, name, "the legacy signerName is not allowed via this API version")]
    if not name:
        return [causes.required(field)]
    domain, slash, path = name.partition("/")
    if not slash or "/" in path:
        return [causes.invalid(field, name, _SIGNER_FORM)]
    complaints: list[Cause] = []
    if len(domain) > MAX_DOMAIN:
        complaints.append(causes.too_long(field, MAX_DOMAIN))
    complaints += _labels(field, domain, names.dns_label)
    if "." not in domain:
        why = "should be a domain with at least two segments separated by dots"
        complaints.append(causes.invalid(field, domain, why))
    complaints += _labels(field, path, names.dns_subdomain)
    if len(name) > MAX_SIGNER_NAME:
        complaints.append(causes.too_long(field, MAX_SIGNER_NAME))
    return complaints


def _labels(field: str, text: str, check: metadata.NameCheck) -> list[Cause]:
    """Complain of the first part between dots that is no label."""
    for label in text.split("."):
        if problems := check(label):
            return [causes.invalid(field, text, f'validating label "{label}": {problem}') for problem in problems]
    return []


def conditions(obj: pb.CertificateSigningRequest) -> list[Cause]:
    """Complaints about the conditions of a request, each for itself."""
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, condition in enumerate(obj.status.conditions):
        field = f"status.conditions[{i}]"
        if not condition.type:
            complaints.append(causes.required(f"{field}.type"))
        statuses = ("True",) if condition.type in (APPROVED, DENIED, FAILED) else ("False", "True", "Unknown")
        complaints += causes.one_of(f"{field}.status", condition.status, statuses)
        if condition.type in seen:
            complaints.append(causes.duplicate(f"{field}.type", condition.type))
        seen.add(condition.type)
    if seen >= {APPROVED, DENIED}:
        why = "Approved and Denied conditions are mutually exclusive"
        complaints.append(causes.invalid("status.conditions", "", why))
    return complaints


def decisions(obj: pb.CertificateSigningRequest, old: pb.CertificateSigningRequest, *, may_decide: bool) -> list[Cause]:
    """Complaints about changes of conditions: what is decided stays, and only an approver decides."""
    field, complaints = "status.conditions", list[Cause]()
    for kind in (APPROVED, DENIED, FAILED):
        before, after = _of_type(old, kind), _of_type(obj, kind)
        if len(after) < len(before):
            complaints.append(causes.forbidden(field, f'updates may not remove a condition of type "{kind}"'))
        elif may_decide or kind == FAILED:
            continue
        elif len(after) > len(before):
            complaints.append(causes.forbidden(field, f'updates may not add a condition of type "{kind}"'))
        elif after != before:
            complaints.append(causes.forbidden(field, f'updates may not modify a condition of type "{kind}"'))
    return complaints


def _of_type(obj: pb.CertificateSigningRequest, kind: str) -> list[pb.CertificateSigningRequestCondition]:
    return [condition for condition in obj.status.conditions if condition.type == kind]


def certificate(obj: pb.CertificateSigningRequest, old: pb.CertificateSigningRequest) -> list[Cause]:
    """Complaints about the certificate that a signer writes: it is one, or several, in PEM, and stays."""
    field, pem = "status.certificate", obj.status.certificate
    if pem == old.status.certificate:
        return []
    if old.status.certificate:
        return [causes.forbidden(field, "updates may not modify existing certificate content")]
    problem = ""
    try:
        if _CERTIFICATE not in pem:
            problem = "must contain at least one CERTIFICATE PEM block"
        elif pem.count(_BEGIN) != pem.count(_CERTIFICATE):
            problem = "only CERTIFICATE PEM blocks are allowed"
        else:
            x509.load_pem_x509_certificates(pem)
    except ValueError as err:
        problem = f"the certificate cannot be read: {err}"
    return [causes.invalid(field, "<certificate data>", problem)] if problem else []
