"""Certificate signing requests as they come in: who asks is who sent it, and no client's certificate makes masters
(https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificatesubjectrestriction)."""

from __future__ import annotations

import contextlib
from typing import ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.certificates import requests
from kubelab.apimachinery.certificates.signers import KUBE_APISERVER_CLIENT
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.auth.attributes import Attributes
from kubelab.auth.roles import MASTERS

_RESOURCE = CERTIFICATE_SIGNING_REQUESTS


class CertificateSubjectRestriction(AdmissionPlugin):
    """Fills in the requester, whatever the object says of them. Upstream's registry does that part."""

    name: ClassVar[str] = "CertificateSubjectRestriction"

    def handles(self, a: Attributes) -> bool:
        return (a.verb, a.group, a.resource, a.subresource) == ("create", _RESOURCE.group, _RESOURCE.plural, "")

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        del old
        spec = cast(pb.CertificateSigningRequest, new).spec
        spec.username, spec.uid = a.user.name, a.user.uid
        spec.groups[:] = sorted(a.user.groups)
        spec.extra.clear()
        for key, values in a.user.extra:
            spec.extra[key].items.extend(values)

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        del old
        csr = cast(pb.CertificateSigningRequest, new)
        if csr.spec.signerName != KUBE_APISERVER_CLIENT:
            return
        with contextlib.suppress(requests.RequestError):  # which validation has complained of
            if MASTERS in requests.organizations(requests.parse(csr.spec.request)):
                why = f"use of {KUBE_APISERVER_CLIENT} signer with {MASTERS} group is not allowed"
                raise errors.forbidden(_RESOURCE.plural, a.name, why, _RESOURCE.group)
