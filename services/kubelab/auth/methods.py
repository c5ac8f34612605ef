"""Authorisation of gRPC methods, for every server but the api-server, whose requests have attributes of their own.

A method stands for a verb on a resource, as a kubelet's paths do upstream
(https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/). A method that is not named here is
forbidden to all. Health and reflection are open to every client certificate of the cluster: they reveal nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc

from kubelab.apimachinery import errors
from kubelab.auth import roles
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User, user_of

Context = grpc.aio.ServicerContext[Any, Any]

OPEN = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)


class Right(NamedTuple):
    """The right that a method requires: a verb on a subresource of the server's Node."""

    verb: str
    subresource: str


KUBELET: Mapping[str, Right] = {
    "/kubelab.rpc.kubelet.v1.Kubelet/ContainerLogs": Right("get", "proxy"),
    "/kubelab.rpc.kubelet.v1.Kubelet/Exec": Right("create", "proxy"),
    "/kubelab.rpc.kubelet.v1.Kubelet/Attach": Right("create", "proxy"),
    "/kubelab.rpc.kubelet.v1.Kubelet/PortForward": Right("create", "proxy"),
    "/kubelab.rpc.kubelet.v1.Kubelet/ReadPath": Right("get", "proxy"),
    "/kubelab.rpc.kubelet.v1.Kubelet/CallRecords": Right("get", "log"),
}


class MethodAuthorizer:
    """Judges the calls of one server. ``node`` is the Node that it runs on; ``rights`` are of its own methods."""

    def __init__(self, node: str, rights: Mapping[str, Right] | None = None) -> None:
        self._node, self._rights = node, dict(rights or {})

    def check(self, method: str, context: Context) -> None:
        """Raise Unauthorized for a caller without a client certificate, Forbidden for one without the right."""
        user = user_of(context)
        if method not in OPEN:
            self.judge(user, method)

    def judge(self, user: User, method: str) -> None:
        """Raise Forbidden, in the words of upstream's kubelet, where no role allows a method."""
        right = self._rights.get(method)
        if right is None:
            raise errors.Forbidden(f"Forbidden (user={user.name}, verb=call, method={method})")
        verb, subresource = right
        if not roles.allows(Attributes(user, verb, resource="nodes", subresource=subresource, name=self._node)):
            attributes = f"user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}]"
            raise errors.Forbidden(f"Forbidden ({attributes})", name=self._node, kind="nodes")
