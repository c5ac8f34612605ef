"""Access reviews: whether the caller, or somebody else, may do something
(https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from google.protobuf.message import Message

from kubelab.api.authorization.v1 import authorization_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import (
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
)
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.storage import PassedThrough
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.strategies import causes
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User

SubjectReview = pb.SubjectAccessReview | pb.LocalSubjectAccessReview
Spec = pb.SelfSubjectAccessReviewSpec | pb.SubjectAccessReviewSpec
_EITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


async def review_self(objects: Objects, request: Request) -> Message:
    """Say whether the caller may do something; Invalid."""
    review = cast(pb.SelfSubjectAccessReview, request.obj)
    _refuse(SELF_SUBJECT_ACCESS_REVIEWS.kind, _one_target(review.spec))
    return await _answer(objects, review, request.attributes.user)


async def review_subject(objects: Objects, request: Request) -> Message:
    """Say whether a user may do something, in any namespace; Invalid."""
    review = cast(pb.SubjectAccessReview, request.obj)
    _refuse(SUBJECT_ACCESS_REVIEWS.kind, _one_target(review.spec) + _some_subject(review.spec))
    return await _answer(objects, review, _subject(review))


async def review_local(objects: Objects, request: Request) -> Message:
    """Say whether a user may do something in the namespace of the request; Invalid."""
    review = cast(pb.LocalSubjectAccessReview, request.obj)
    complaints = _one_target(review.spec) + _some_subject(review.spec)
    attributes, here = review.spec.resourceAttributes, review.metadata.namespace
    if not complaints and attributes.namespace != here:
        field, why = "spec.resourceAttributes.namespace", "must match metadata.namespace"
        complaints.append(causes.invalid(field, attributes.namespace, why))
    if review.spec.HasField("nonResourceAttributes"):
        complaints.append(causes.invalid("spec.nonResourceAttributes", "", "disallowed on this kind of request"))
    _refuse(LOCAL_SUBJECT_ACCESS_REVIEWS.kind, complaints)
    return await _answer(objects, review, _subject(review))


async def _answer(objects: Objects, review: pb.SelfSubjectAccessReview | SubjectReview, user: User) -> Message:
    answer = deep_copy(review)
    allowed, reason = await objects.decide(attributes_of(user, review.spec))
    answer.ClearField("status")
    answer.status.allowed, answer.status.reason = allowed, reason
    return answer


def attributes_of(user: User, spec: Spec) -> Attributes:
    """Make the attributes that a request of this kind would have."""
    if spec.HasField("nonResourceAttributes"):
        return Attributes(user, spec.nonResourceAttributes.verb, path=spec.nonResourceAttributes.path)
    a = spec.resourceAttributes
    return Attributes(user, a.verb, a.group, a.resource, a.subresource, a.namespace, a.name)


def _subject(review: SubjectReview) -> User:
    return User(review.spec.user, frozenset(review.spec.groups))


def _one_target(spec: Spec) -> list[Cause]:
    resource, path = spec.HasField("resourceAttributes"), spec.HasField("nonResourceAttributes")
    if resource and path:
        what = "cannot be specified in combination with resourceAttributes"
        return [causes.invalid("spec.nonResourceAttributes", "", what)]
    if not resource and not path:
        return [causes.invalid("spec.resourceAttributes", "", _EITHER)]
    return []


def _some_subject(spec: pb.SubjectAccessReviewSpec) -> list[Cause]:
    if spec.user or spec.groups:
        return []
    return [causes.invalid("spec.user", "", "at least one of user or group must be specified")]


def _refuse(kind: str, complaints: Sequence[Cause]) -> None:
    if complaints:
        raise errors.invalid(kind, "", complaints)


RESOURCES = (
    PassedThrough(SELF_SUBJECT_ACCESS_REVIEWS, Subresource(("create",), create=review_self)),
    PassedThrough(SUBJECT_ACCESS_REVIEWS, Subresource(("create",), create=review_subject)),
    PassedThrough(LOCAL_SUBJECT_ACCESS_REVIEWS, Subresource(("create",), create=review_local)),
)
