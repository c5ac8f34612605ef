"""The token subresource: a new token of a service account
(upstream: ``pkg/registry/core/serviceaccount/storage/token.go``;
https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/)."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from kubelab.apiserver.authn.tokens import ObjectName, Tokens
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.subresource import Objects, Subresource
from kubelab.apiserver.strategies import causes

DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS = 3600, 600, 1 << 32
_BOUND: dict[str, Resource[Message]] = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}


def token(tokens: Tokens | None) -> Subresource:
    """Make the subresource; without a key it is not to be found."""

    async def create(objects: Objects, request: Request) -> Message:
        """Sign a token. Invalid for its life, NotFound and Conflict for what it shall be bound to."""
        asked = cast(authentication_pb2.TokenRequest, request.obj)
        name, namespace = request.name, request.namespace
        if tokens is None:
            raise errors.NotFound("the server could not find the requested resource", name=name, kind="serviceaccounts")
        seconds = asked.spec.expirationSeconds if asked.spec.HasField("expirationSeconds") else DEFAULT_SECONDS
        if complaints := _life(seconds):
            raise errors.invalid("TokenRequest", name, complaints, "authentication.k8s.io")
        account = await objects.entry(SERVICE_ACCOUNTS, namespace, name)
        if serviceaccounts_pb2.ServiceAccount.FromString(account.raw).metadata.HasField("deletionTimestamp"):
            raise errors.not_found(SERVICE_ACCOUNTS.plural, name)
        if request.user is not None and request.user.node:
            await _node_may(objects, namespace, name, asked.spec.boundObjectRef, request.user.node)
        bound = await _bound(objects, namespace, name, asked.spec.boundObjectRef)
        audiences = list(asked.spec.audiences) or list(tokens.audiences)
        text, claims = tokens.issue(namespace, ObjectName(name, account.uid), audiences, seconds, **bound)
        answer = deep_copy(asked)
        answer.metadata.name, answer.metadata.namespace = name, namespace
        answer.metadata.creationTimestamp.seconds = claims.issued
        answer.spec.audiences[:] = audiences
        answer.spec.expirationSeconds = seconds
        answer.status.token = text
        answer.status.expirationTimestamp.seconds = claims.expires
        request.uid, request.detail = account.uid, f"credential={claims.id}"
        return answer

    return Subresource(("create",), authentication_pb2.TokenRequest, create=create, unnamed=True)


def _life(seconds: int) -> list[Cause]:
    field = "spec.expirationSeconds"
    if seconds < LEAST_SECONDS:
        return [causes.invalid(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MOST_SECONDS:
        return [causes.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


async def _node_may(
    objects: Objects, namespace: str, account: str, reference: authentication_pb2.BoundObjectReference, node: str
) -> None:
    """NodeRestriction's rule: a node gets tokens for its own pods alone. Forbidden; NotFound for the pod."""
    if reference.apiVersion != "v1" or reference.kind != "Pod" or not reference.name:
        raise errors.forbidden(SERVICE_ACCOUNTS.plural, account, "node requested token not bound to a pod")
    if not reference.uid:
        why = "node requested token with a pod binding without a uid"
        raise errors.forbidden(SERVICE_ACCOUNTS.plural, account, why)
    pod = await objects.entry(PODS, namespace, reference.name)
    if pod.fields.get("spec.nodeName") != node:
        why = "node requested token bound to a pod scheduled on a different node"
        raise errors.forbidden(SERVICE_ACCOUNTS.plural, account, why)


async def _bound(
    objects: Objects, namespace: str, account: str, reference: authentication_pb2.BoundObjectReference
) -> dict[str, ObjectName]:
    """Find what the token shall end with; empty for a token that is bound to nothing but its account."""
    if not reference.ByteSize():
        return {}
    resource = _BOUND.get(reference.kind) if reference.apiVersion in ("v1", "") else None
    if resource is None:
        group, slash, version = reference.apiVersion.rpartition("/")
        kind = f"{group}{slash}{version}, Kind={reference.kind}"
        raise errors.BadRequest(f'cannot bind token for serviceaccount "{account}" to object of type {kind}')
    entry = await objects.entry(resource, namespace if resource.namespaced else "", reference.name)
    bound = {reference.kind.lower(): ObjectName(entry.name, entry.uid)}
    if resource is PODS:
        pod = core_pb2.Pod.FromString(entry.raw)
        if pod.spec.serviceAccountName != account:
            raise errors.BadRequest(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        if pod.spec.nodeName:
            bound["node"] = await _node(objects, pod.spec.nodeName)
    if reference.uid and reference.uid != entry.uid:
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {reference.kind} "{reference.name}": the UID in the bound object '
            f"reference ({reference.uid}) does not match the UID in record. The object might have been deleted and "
            "then recreated",
            name=reference.name,
            kind=reference.kind,
        )
    return bound


async def _node(objects: Objects, name: str) -> ObjectName:
    """Name the pod's node, without a uid where the node is not there."""
    try:
        return ObjectName(name, (await objects.entry(NODES, "", name)).uid)
    except errors.NotFound:
        return ObjectName(name, "")
