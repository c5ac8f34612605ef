"""SelfSubjectReviews: who the caller is
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review)."""

from __future__ import annotations

from google.protobuf.message import Message

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.apimachinery.scheme import SELF_SUBJECT_REVIEWS
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.authentication.userinfo import user_info
from kubelab.apiserver.resources.storage import PassedThrough
from kubelab.apiserver.resources.subresource import Objects, Subresource


async def create(objects: Objects, request: Request) -> Message:
    """Answer with the user of the request."""
    del objects
    answer = authentication_pb2.SelfSubjectReview()
    answer.status.userInfo.CopyFrom(user_info(request.attributes.user))
    return answer


RESOURCE = PassedThrough(SELF_SUBJECT_REVIEWS, Subresource(("create",), create=create))
