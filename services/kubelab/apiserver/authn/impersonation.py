"""Impersonation: a request that is to be answered as another user's.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation. The names are those of HTTP
headers, in lower case, and of gRPC metadata alike. The one who asks must be allowed to ``impersonate`` every part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from kubelab.apimachinery import errors
from kubelab.apiserver.authn.serviceaccounts import groups_of
from kubelab.apiserver.authn.tokens import SUBJECT_PREFIX
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User

PREFIX = "impersonate-"
USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_GROUP = "authentication.k8s.io"


class Impersonation(NamedTuple):
    """Whom a request names. ``extra`` has a pair for each value."""

    user: str
    groups: tuple[str, ...]
    uid: str
    extra: tuple[tuple[str, str], ...]


def requested(headers: Iterable[tuple[str, str]]) -> Impersonation:
    """Read the headers that begin with :data:`PREFIX`. BadRequest where they name no user, or anything else."""
    user, uid = "", ""
    groups: list[str] = []
    extra: list[tuple[str, str]] = []
    for key, value in headers:
        if key == USER:
            user = value
        elif key == GROUP:
            groups.append(value)
        elif key == UID:
            uid = value
        elif key.startswith(EXTRA):
            extra.append((unquote(key.removeprefix(EXTRA)).lower(), value))
        else:
            raise errors.BadRequest(f"the header {key} is none of {USER}, {GROUP}, {UID} and {EXTRA}KEY")
    if not user:
        raise errors.BadRequest("requested a group, a uid or extra values without impersonating a user")
    return Impersonation(user, tuple(groups), uid, tuple(extra))


def questions(by: User, asked: Impersonation) -> Iterator[Attributes]:
    """Give what the one who asks must be allowed to do."""
    namespace, name = _account(asked.user)
    if name:
        yield Attributes(by, "impersonate", resource="serviceaccounts", namespace=namespace, name=name)
    else:
        yield Attributes(by, "impersonate", resource="users", name=asked.user)
    for group in asked.groups:
        yield Attributes(by, "impersonate", resource="groups", name=group)
    if asked.uid:
        yield Attributes(by, "impersonate", _GROUP, "uids", name=asked.uid)
    for key, value in asked.extra:
        yield Attributes(by, "impersonate", _GROUP, "userextras", key, name=value)


def impersonated(asked: Impersonation) -> User:
    """Give the user as whom the request is answered."""
    groups = set(asked.groups)
    namespace, name = _account(asked.user)
    if name and not groups:
        groups = set(groups_of(namespace))
    if asked.user == ANONYMOUS:
        groups.add(UNAUTHENTICATED)
    elif not groups & {AUTHENTICATED, UNAUTHENTICATED}:
        groups.add(AUTHENTICATED)
    values: dict[str, tuple[str, ...]] = {}
    for key, value in asked.extra:
        values[key] = (*values.get(key, ()), value)
    return User(asked.user, frozenset(groups), "", asked.uid, tuple(sorted(values.items())))


def _account(user: str) -> tuple[str, str]:
    """Namespace and name of a service account; two empty words for all other users."""
    namespace, colon, name = user.removeprefix(SUBJECT_PREFIX).partition(":")
    known = user.startswith(SUBJECT_PREFIX) and colon and namespace and name and ":" not in name
    return (namespace, name) if known else ("", "")
