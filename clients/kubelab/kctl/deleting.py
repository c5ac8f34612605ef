"""Deletes one object and waits until it is gone: the first half of a forced replacement."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from kubelab.apimachinery.clock import Clock
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.client.client import Client

FOR_EVER = 168 * 3600.0  # seconds: kubectl's "no timeout" is a week


async def until_gone(client: Client, info: Info, uid: str, clock: Clock) -> None:
    """Wait until the object with this uid is no more; another one of its name does not count."""
    from kubelab.kctl.listwatch import object_states

    async with contextlib.aclosing(object_states(client, info, clock)) as states:
        async for obj in states:
            if obj is None or (uid and cast(Any, obj).metadata.uid != uid):
                return


async def delete_and_wait(
    client: Client, info: Info, clock: Clock, *, grace: int | None, policy: str, seconds: float = 0.0
) -> None:
    """Delete an object; return when it, by its uid, is no more. Raises NotFound, and Failed after ``seconds``."""
    uid = cast(Any, await client.get(info.resource, info.name, info.namespace)).metadata.uid
    await client.delete(
        info.resource, info.name, info.namespace, grace_period_seconds=grace, propagation_policy=policy, uid=uid
    )
    try:
        async with clock.timeout(seconds or FOR_EVER):
            await until_gone(client, info, uid, clock)
    except TimeoutError as err:
        raise Failed("error: timed out waiting for the condition") from err
