"""What becomes of one object: looked at, then watched from where the look ended, for as long as somebody asks.

One task: it reads one stream. Whatever ends the stream (a revision that the server forgot, a connection that was lost,
a server that went away) is followed by another look, by another server if there is one; who asks sets the deadline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from google.protobuf.message import Message

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import Expired, Timeout, Unavailable
from kubelab.client.client import Client, EventType
from kubelab.kctl.targets import One

PAUSE = 0.5  # seconds before the next look when nobody could be asked


async def states(client: Client, one: One, clock: Clock) -> AsyncGenerator[Message | None]:
    """Yield the object as it is, then after every change; None where there is none. Ends with a refusal only."""
    chosen = f"metadata.name={one.name}"
    while True:
        try:
            there = await client.list(one.resource, one.namespace, field_selector=chosen)
        except (Unavailable, Timeout):
            await clock.sleep(PAUSE)
            continue
        yield next(iter(there.items), None)
        events = client.watch(
            one.resource, one.namespace, resource_version=there.resource_version, field_selector=chosen
        )
        try:
            async for event in events:
                if event.type is not EventType.BOOKMARK:
                    yield None if event.type is EventType.DELETED else event.object
        except (Expired, Unavailable, Timeout):
            continue
        finally:
            await events.aclose()
