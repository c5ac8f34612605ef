"""TokenReviews: whom a bearer token belongs to (upstream: ``pkg/registry/authentication/tokenreview``)."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import TOKEN_REVIEWS
from kubelab.apiserver.authn.tokens import TokenError
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.authentication.userinfo import user_info
from kubelab.apiserver.resources.storage import PassedThrough, Settings
from kubelab.apiserver.resources.subresource import Objects, Subresource


def passed_through(settings: Settings) -> PassedThrough:
    """Make the resource of a server that judges tokens by its settings."""

    async def create(objects: Objects, request: Request) -> Message:
        """Say whose token it is, or why it is nobody's. BadRequest without a token."""
        del objects
        answer = deep_copy(cast(authentication_pb2.TokenReview, request.obj))
        if not answer.spec.token:
            raise errors.BadRequest("token is required for TokenReview in authentication")
        answer.ClearField("status")
        if settings.authenticate is None:
            answer.status.error = "invalid bearer token"
            return answer
        try:
            proven = await settings.authenticate(answer.spec.token, answer.spec.audiences)
        except TokenError as err:
            answer.status.error = f"[invalid bearer token, {err}]"
        else:
            answer.status.authenticated = True
            answer.status.user.CopyFrom(user_info(proven.user))
            answer.status.audiences.extend(proven.audiences)
        return answer

    return PassedThrough(TOKEN_REVIEWS, Subresource(("create",), create=create))
