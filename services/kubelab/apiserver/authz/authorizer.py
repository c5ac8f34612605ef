"""Authorisation of the api-server's requests: roles and bindings, then the Node authoriser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from google.protobuf.message import Message

from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.authz.node import NO_OPINION, NodeAuthorizer
from kubelab.apiserver.authz.rbac.index import RoleIndex
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.reflector import Reflector
from kubelab.auth.attributes import Attributes, refusal
from kubelab.auth.roles import MASTERS
from kubelab.auth.users import User

_WITHOUT_NAMESPACE = frozenset({"create", "list", "watch", "deletecollection"})


class Authorizer:
    """Decides on a request's attributes. The group system:masters may do everything, whatever bindings say.

    Nobody is refused by a cache that lacks a role or binding written before the request.
    """

    def __init__(self, reflector: Reflector, caches: Mapping[Resource[Message], ResourceCache]) -> None:
        self._reflector = reflector
        self._nodes = NodeAuthorizer(reflector, caches)
        self.roles = RoleIndex(caches)

    async def check(self, a: Attributes) -> None:
        """Raise Forbidden where neither a role nor the Node authoriser allows a request.

        To roles a request to create has no name yet: a rule with ``resourceNames`` does not allow it."""
        if a.resource == "namespaces":
            a = _in_itself(a)
        name = "" if a.verb == "create" and not a.subresource else a.name
        if MASTERS in a.user.groups or self.roles.allows(a, name):
            return
        allowed, reason = await self._look_closer(a, name)
        if not allowed:
            raise refusal(replace(a, name=name), reason)

    async def decide(self, a: Attributes) -> tuple[bool, str]:
        """Say whether a request would be allowed, and why, or why not, where more is known than that no role allows
        it."""
        if self.may(a):
            return True, self.roles.why(a)
        return await self._look_closer(a, a.name)

    async def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """Give all rules that roles give a user in a namespace, as of now."""
        await self._reflector.fresh()
        return self.roles.rules_of(user, namespace)

    def may(self, a: Attributes) -> bool:
        """Say whether a role allows a request, as far as the cache knows."""
        return MASTERS in a.user.groups or self.roles.allows(a)

    async def _look_closer(self, a: Attributes, name: str) -> tuple[bool, str]:
        node = a.user.node
        why = await self._nodes.complaint(a, node) if node else NO_OPINION
        if not why:
            return True, ""
        await self._reflector.fresh()
        if self.roles.allows(a, name):
            return True, self.roles.why(a)
        reasons = [why if why != NO_OPINION else "", self.roles.missing(a.user, a.namespace)]
        return False, "\n".join(filter(None, reasons))


def _in_itself(a: Attributes) -> Attributes:
    """As upstream a request on one namespace is a request in it, so that a role binding there can allow it."""
    return a if a.group or a.verb in _WITHOUT_NAMESPACE else replace(a, namespace=a.name)
