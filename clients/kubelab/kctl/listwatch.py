"""Follows one object: lists it, then watches it from the revision of the list (client-go's ``tools/watch``).

One task reads one stream. When the stream ends for any reason (a revision that the server forgot, a lost connection,
a server that stopped), the task lists again, from another server if there is one. The caller sets the deadline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from google.protobuf.message import Message

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import Expired, Timeout, Unavailable
from kubelab.client.client import Client, EventType
from kubelab.kctl.resource import Info

PAUSE = 0.5  # seconds before the next list when no server answered


async def object_states(client: Client, info: Info, clock: Clock) -> AsyncGenerator[Message | None]:
    """Yield the object as it is, then after every change; None where there is ninfo. Ends with a refusal only."""
    selector = f"metadata.name={info.name}"
    while True:
        try:
            listed = await client.list(info.resource, info.namespace, field_selector=selector)
        except (Unavailable, Timeout):
            await clock.sleep(PAUSE)
            continue
        yield next(iter(listed.items), None)
        events = client.watch(
            info.resource, info.namespace, resource_version=listed.resource_version, field_selector=selector
        )
        try:
            async for event in events:
                if event.type is not EventType.BOOKMARK:
                    yield None if event.type is EventType.DELETED else event.object
        except (Expired, Unavailable, Timeout):
            continue
        finally:
            await events.aclose()
