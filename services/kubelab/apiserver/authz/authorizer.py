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
        node = a.user.node
        why = await self._nodes.complaint(a, node) if node else NO_OPINION
        if why:
            raise refusal(a, "" if why == NO_OPINION else why)
