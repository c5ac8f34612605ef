"""What this server is and what it serves."""

from __future__ import annotations

import platform

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.apiserver.grpcfront.requests import Context
from kubelab.apiserver.resources.table import Resources
from kubelab.auth.users import user_of
from kubelab.linux.architecture import architecture
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.apiserver.v1 import apiserver_pb2_grpc


class DiscoveryServicer(apiserver_pb2_grpc.DiscoveryServicer):
    """Open to every user with a certificate."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def ServerVersion(self, request: pb.ServerVersionRequest, context: Context) -> pb.ServerVersionResponse:
        user_of(context)
        return pb.ServerVersionResponse(
            git_version=GIT_VERSION,
            platform=f"linux/{architecture()}",
            python_version=platform.python_version(),
        )

    async def ServerResources(self, request: pb.ServerResourcesRequest, context: Context) -> pb.ServerResourcesResponse:
        user_of(context)
        return pb.ServerResourcesResponse(resources=[_described(r) for r in self._listed()])

    def _listed(self) -> list[Resource[Message]]:
        """Give every resource; of a built-in kind the preferred version alone, which is the one that is stored."""
        served = self._resources
        return [r for r in served.served if r.custom is not None or served.by_plural(r.group, r.plural) is r]


def _described(r: Resource[Message]) -> meta_pb2.APIResource:
    return meta_pb2.APIResource(
        name=r.plural,
        singularName=r.singular,
        namespaced=r.namespaced,
        kind=r.kind,
        verbs=r.verbs,
        shortNames=r.short_names,
        categories=r.categories,
        group=r.group,
        version=r.version,
    )
