"""ComponentStatuses: the health of the control plane's parts, asked for at each request and never stored."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from kubelab.api.core.v1 import componentstatuses_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import COMPONENT_STATUSES
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.storage import PassedThrough, Settings
from kubelab.apiserver.resources.subresource import Objects, Subresource

DEPRECATED = "v1 ComponentStatus is deprecated in v1.19+"


def row(status: componentstatuses_pb2.ComponentStatus, now: float) -> list[str]:
    """The cells of a row, as kubectl 1.32 prints them."""
    del now
    for condition in status.conditions:
        if condition.type == "Healthy":
            health = "Healthy" if condition.status == "True" else "Unhealthy"
            return [status.metadata.name, health, condition.message, condition.error]
    return [status.metadata.name, "Unknown", "", ""]


def passed_through(settings: Settings) -> PassedThrough:
    """Make the resource; a server without ``components`` has none."""

    async def statuses() -> Sequence[Message]:
        return await settings.components() if settings.components is not None else []

    async def get(objects: Objects, request: Request) -> Message:
        del objects
        request.warnings = [DEPRECATED]
        for status in await statuses():
            if meta_of(status).name == request.name:
                return status
        raise errors.NotFound(f"Component not found: {request.name}", name=request.name, kind=request.resource.plural)

    async def list_all(objects: Objects, request: Request) -> Sequence[Message]:
        del objects
        request.warnings = [DEPRECATED]
        return await statuses()

    return PassedThrough(COMPONENT_STATUSES, Subresource(("get", "list"), get=get, list=list_all), row)
