"""SelfSubjectRulesReviews: all that the caller may do in a namespace, as far as roles say."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from kubelab.api.authorization.v1 import authorization_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import SELF_SUBJECT_RULES_REVIEWS
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.storage import PassedThrough
from kubelab.apiserver.resources.subresource import Objects, Subresource


async def create(objects: Objects, request: Request) -> Message:
    """Answer with the caller's rules that hold in the namespace; BadRequest without one."""
    review = cast(pb.SelfSubjectRulesReview, request.obj)
    namespace, user = review.spec.namespace, request.attributes.user
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    answer = pb.SelfSubjectRulesReview()
    for rule in await objects.rules_of(user, namespace):
        if rule.resources:
            answer.status.resourceRules.add(
                verbs=rule.verbs, apiGroups=rule.groups, resources=rule.resources, resourceNames=rule.names
            )
        if rule.urls:
            answer.status.nonResourceRules.add(verbs=rule.verbs, nonResourceURLs=rule.urls)
    if user.node:
        answer.status.incomplete = True
        answer.status.evaluationError = "node authorizer does not support user rule resolution"
    return answer


RESOURCE = PassedThrough(SELF_SUBJECT_RULES_REVIEWS, Subresource(("create",), create=create))
