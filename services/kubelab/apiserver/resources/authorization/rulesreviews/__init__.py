"""SelfSubjectRulesReviews: all that the caller may do in a namespace, as far as the roles say."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from kubelab.api.authorization.v1 import authorization_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import SELF_SUBJECT_RULES_REVIEWS
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.storage import PassedThrough
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.auth import roles
from kubelab.auth.roles import Rule


async def create(objects: Objects, request: Request) -> Message:
    """Answer with the caller's rules that hold in the namespace; BadRequest without one."""
    del objects
    review = cast(pb.SelfSubjectRulesReview, request.obj)
    namespace, user = review.spec.namespace, request.attributes.user
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    answer = pb.SelfSubjectRulesReview()
    for rule in roles.rules_of(user):
        if rule.namespace in ("", namespace):
            _add(answer.status, rule)
    if user.node:
        answer.status.incomplete = True
        answer.status.evaluationError = "node authorizer does not support user rule resolution"
    return answer


def _add(status: pb.SubjectRulesReviewStatus, rule: Rule) -> None:
    """Write a rule as upstream's roles would have it: one for each group that it names."""
    groups: dict[str, list[str]] = {}
    paths: list[str] = []
    for target in sorted(rule.targets):
        if target.startswith("/"):
            paths.append(target)
        elif target == "*/*":
            groups.setdefault("*", []).append("*")
            paths.append("*")
        elif target == "*":
            groups.setdefault("*", []).append("*")
        else:
            qualified, slash, subresource = target.partition("/")
            resource, _, group = qualified.partition(".")
            groups.setdefault(group, []).append(resource + slash + subresource)
    verbs = sorted(rule.verbs)
    for group, resources in groups.items():
        status.resourceRules.add(verbs=verbs, apiGroups=[group], resources=resources, resourceNames=sorted(rule.names))
    if paths:
        status.nonResourceRules.add(verbs=verbs, nonResourceURLs=paths)


RESOURCE = PassedThrough(SELF_SUBJECT_RULES_REVIEWS, Subresource(("create",), create=create))
