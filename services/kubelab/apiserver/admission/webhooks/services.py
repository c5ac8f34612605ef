"""The way to webhooks that are services of the cluster: through the kubelet of a pod behind the service, as the proxy
of services goes, so that the api-server needs no route to pods."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apiserver.endpoints.proxying import Proxies

if TYPE_CHECKING:
    import aiohttp


class WebhookServices:
    """Connects to services."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    @contextlib.asynccontextmanager
    async def __call__(
        self, service: pb.ServiceReference, context: ssl.SSLContext
    ) -> AsyncGenerator[aiohttp.BaseConnector]:
        """Connect to a pod behind the service while the body runs. Raises ApiError."""
        from kubelab.apiserver.httpfront.streams.proxy import OneConnection, tunnel_to

        target = await self._proxies.service(service.namespace, service.name, service.port)
        async with tunnel_to(target) as tunnel:
            yield OneConnection(tunnel.sock, context)
