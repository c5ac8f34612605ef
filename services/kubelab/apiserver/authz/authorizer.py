"""Authorisation of the api-server's requests: the roles that are built in, then the Node authoriser."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.authz.node import NO_OPINION, NodeAuthorizer
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.reflector import Reflector
from kubelab.auth import roles
from kubelab.auth.attributes import Attributes, refusal


class Authorizer:
    """Decides on a request's attributes."""

    def __init__(self, reflector: Reflector, caches: Mapping[Resource[Message], ResourceCache]) -> None:
        self._nodes = NodeAuthorizer(reflector, caches)

    async def check(self, a: Attributes) -> None:
        """Raise Forbidden where neither a role nor the Node authoriser allows a request."""
        if roles.allows(a):
            return
        allowed, reason = await self._ask_nodes(a)
        if not allowed:
            raise refusal(a, reason)

    async def decide(self, a: Attributes) -> tuple[bool, str]:
        """Say whether a request would be allowed, and why not, where more is known than that no role allows it."""
        return (True, "") if roles.allows(a) else await self._ask_nodes(a)

    async def _ask_nodes(self, a: Attributes) -> tuple[bool, str]:
        node = a.user.node
        why = await self._nodes.complaint(a, node) if node else NO_OPINION
        return not why, "" if why == NO_OPINION else why
