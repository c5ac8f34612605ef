"""Whom a service account's token stands for, and whether it still does (upstream: ``pkg/serviceaccount/claims.go``).

A token is good as long as its account exists, and the pod or secret that it is bound to. The watch caches say so, at
each request: a token ends with its object, not with its own time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from kubelab.apiserver.authn.tokens import Claims, ObjectName, TokenError, Tokens
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Entry
from kubelab.auth.users import AUTHENTICATED, User

LEEWAY_SECONDS = 60  # after its deletion an object's tokens are good for so long, so that it can end in order
ACCOUNTS_GROUP = "system:serviceaccounts"
_EXTRA = "authentication.kubernetes.io"
_BOUND: tuple[tuple[str, Resource[Any]], ...] = (("secret", SECRETS), ("pod", PODS), ("node", NODES))


class Proven(NamedTuple):
    """A token's user, and the audiences that it was asked for and is good for."""

    user: User
    audiences: tuple[str, ...]


def groups_of(namespace: str) -> frozenset[str]:
    """The groups of every service account of a namespace."""
    return frozenset({ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:{namespace}", AUTHENTICATED})


class ServiceAccountAuthenticator:
    """``fresh`` lets the caches catch up with etcd."""

    def __init__(
        self,
        tokens: Tokens,
        caches: Mapping[Resource[Message], ResourceCache],
        fresh: Callable[[], Awaitable[Any]],
    ) -> None:
        self.tokens, self._caches, self._fresh = tokens, caches, fresh

    async def authenticate(self, token: str, audiences: Sequence[str] = ()) -> Proven:
        """Give the user of a token that is meant for one of the audiences, the api-servers by default. TokenError."""
        claims = self.tokens.read(token)
        wanted = tuple(audiences) or self.tokens.audiences
        common = tuple(one for one in claims.audiences if one in wanted)
        if not common:
            raise TokenError(
                f"token audiences {_quoted(claims.audiences)} is invalid for the target audiences {_quoted(wanted)}"
            )
        now = self.tokens.clock.time()
        if now > claims.expires + LEEWAY_SECONDS:
            raise TokenError("service account token has expired")
        if now + LEEWAY_SECONDS < claims.issued:
            raise TokenError("service account token is not valid yet")
        if self._complaint(claims, now):
            await self._fresh()  # the objects may be younger than the caches
            if why := self._complaint(claims, now):
                raise TokenError(why)
        return Proven(_user(claims), common)

    def _complaint(self, claims: Claims, now: float) -> str:
        """Why a token is not good any more; empty where it is."""
        namespace, account = claims.namespace, claims.account
        entry = self._caches[SERVICE_ACCOUNTS].get(namespace, account.name)
        if entry is None:
            return f'serviceaccounts "{account.name}" not found'
        if _gone(SERVICE_ACCOUNTS, entry, now):
            return f"service account {namespace}/{account.name} has been deleted"
        if entry.uid != account.uid:
            return f"service account UID ({entry.uid}) does not match claim ({account.uid})"
        for kind, resource in _BOUND:
            bound: ObjectName | None = getattr(claims, kind)
            if bound is None or (kind == "node" and claims.pod is not None):
                continue  # a pod's token ends with the pod, wherever that is
            entry = self._caches[resource].get(namespace if resource.namespaced else "", bound.name)
            if entry is None or entry.uid != bound.uid or _gone(resource, entry, now):
                return "service account token has been invalidated"
        return ""


def _gone(resource: Resource[Any], entry: Entry, now: float) -> bool:
    """Whether an object's deletion is so long ago that its tokens have ended with it."""
    meta = resource.message.FromString(entry.raw).metadata
    return meta.HasField("deletionTimestamp") and meta.deletionTimestamp.seconds + LEEWAY_SECONDS < now


def _user(claims: Claims) -> User:
    extra: dict[str, tuple[str, ...]] = {f"{_EXTRA}/credential-id": (f"JTI={claims.id}",)} if claims.id else {}
    for kind in ("node", "pod"):
        bound: ObjectName | None = getattr(claims, kind)
        if bound is not None:
            extra[f"{_EXTRA}/{kind}-name"] = (bound.name,)
            if bound.uid:
                extra[f"{_EXTRA}/{kind}-uid"] = (bound.uid,)
    return User(claims.subject, groups_of(claims.namespace), "", claims.account.uid, tuple(sorted(extra.items())))


def _quoted(words: Sequence[str]) -> str:
    """As Go prints a list of strings."""
    return f"[{' '.join(f'{chr(34)}{word}{chr(34)}' for word in words)}]"
