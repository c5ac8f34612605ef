"""What is written of a request once it is made: ``approval`` decides on it, ``status`` has the certificate.

Whoever writes either must be allowed to ``approve``, or to ``sign``, for the request's signer; upstream asks that in
the admission plugins CertificateApproval and CertificateSigning.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from google.protobuf.message import Message

from kubelab.api.certificates.v1 import certificates_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import CERTIFICATE_SIGNING_REQUESTS
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.certificates.certificatesigningrequests import strategy
from kubelab.apiserver.resources.preconditions import check_unmodified
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.strategies import metadata
from kubelab.auth.attributes import Attributes

_RESOURCE = CERTIFICATE_SIGNING_REQUESTS
Check = Callable[[pb.CertificateSigningRequest, pb.CertificateSigningRequest], list[Cause]]


async def get(objects: Objects, request: Request) -> Message:
    """Give the whole request."""
    entry = await objects.entry(_RESOURCE, "", request.name)
    return _at(pb.CertificateSigningRequest.FromString(entry.raw), entry.revision)


def _part(verb: Literal["approve", "sign"], take: Callable[..., None], check: Check) -> Subresource:
    """Make a subresource. ``take`` moves its part of what is sent into a copy of the stored object."""

    async def update(objects: Objects, request: Request) -> Message:
        """Write the part. Forbidden for one who is not trusted with the signer, Invalid, Conflict."""
        sent, name = cast(pb.CertificateSigningRequest, request.obj), request.name
        stored = await objects.entry(_RESOURCE, "", name)
        signer = pb.CertificateSigningRequest.FromString(stored.raw).spec.signerName
        await _require(objects, request, verb, signer)

        def decide(state: ObjectState, taken: set[str]) -> Decision:
            del taken
            old = cast(pb.CertificateSigningRequest, state.obj)
            check_unmodified(_RESOURCE, name, sent.metadata, state)
            if old.spec.signerName != signer:  # deleted and made anew since the authoriser was asked
                raise errors.conflict(_RESOURCE.plural, name, "the request was replaced", _RESOURCE.group)
            new = deep_copy(old)
            for mine, theirs in (
                (new.metadata.labels, sent.metadata.labels),
                (new.metadata.annotations, sent.metadata.annotations),
            ):
                mine.clear()
                mine.update(theirs)
            take(new, sent)
            _stamp(new, old, int(objects.clock.time()))
            complaints = metadata.validate_update(new.metadata, old.metadata)
            complaints += metadata.validate(new.metadata, namespaced=False, check_name=lambda _: [])
            complaints += [*strategy.conditions(new), *check(new, old)]
            if complaints:
                raise errors.invalid(_RESOURCE.kind, name, complaints, _RESOURCE.group)
            if request.tracking is not None:
                request.tracking.updated(new, old)
            return Decision(new)

        written = await objects.rewrite(_RESOURCE, "", name, decide)
        request.wrote(written.obj, written.revision)
        return _at(cast(pb.CertificateSigningRequest, written.obj), written.revision)

    return Subresource(("get", "update", "patch"), get=get, update=update)


async def _require(objects: Objects, request: Request, verb: str, signer: str) -> None:
    """Forbidden unless the caller may do this for the signer, or for all signers of its domain."""
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        asked = Attributes(request.attributes.user, verb, _RESOURCE.group, "signers", name=name)
        if (await objects.decide(asked))[0]:
            return
    why = f'user not permitted to {verb} requests with signerName "{signer}"'
    raise errors.forbidden(_RESOURCE.plural, request.name, why, _RESOURCE.group)


def _at(obj: pb.CertificateSigningRequest, revision: int) -> pb.CertificateSigningRequest:
    shown = deep_copy(obj)
    shown.metadata.resourceVersion = str(revision)
    return shown


def _stamp(new: pb.CertificateSigningRequest, old: pb.CertificateSigningRequest, now: int) -> None:
    """Give conditions the times that they were sent without."""
    since = {(c.type, c.status): c.lastTransitionTime for c in old.status.conditions}
    for condition in new.status.conditions:
        if not condition.lastUpdateTime.seconds:
            condition.lastUpdateTime.seconds = now
        if not condition.lastTransitionTime.seconds:
            before = since.get((condition.type, condition.status))
            condition.lastTransitionTime.seconds = before.seconds if before is not None and before.seconds else now


def _take_conditions(new: pb.CertificateSigningRequest, sent: pb.CertificateSigningRequest) -> None:
    del new.status.conditions[:]
    new.status.conditions.extend(sent.status.conditions)


def _take_status(new: pb.CertificateSigningRequest, sent: pb.CertificateSigningRequest) -> None:
    new.status.CopyFrom(sent.status)


APPROVAL = _part("approve", _take_conditions, lambda new, old: strategy.decisions(new, old, may_decide=True))
STATUS = _part(
    "sign",
    _take_status,
    lambda new, old: [*strategy.decisions(new, old, may_decide=False), *strategy.certificate(new, old)],
)
