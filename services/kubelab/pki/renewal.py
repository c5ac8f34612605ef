"""Renew the certificates of a running cluster before they expire.

No process restarts. Servers and etcd read their files at every handshake, clients when they connect again.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.pki.certificates import Renewed

AT_LEAST, AT_MOST = 60.0, 86_400.0  # seconds between two looks; the machine's date may be set forward meanwhile


Renew = Callable[[datetime.datetime], Renewed]
"""Makes anew what is near its end at the given time; OSError where files cannot be read or written."""


async def keep(renew: Renew, clock: Clock, log: structlog.typing.FilteringBoundLogger) -> None:
    """Call ``renew``, in a thread, now and whenever a certificate is due, until cancelled."""
    while True:
        now = datetime.datetime.fromtimestamp(clock.time(), datetime.UTC)
        pause = AT_LEAST
        try:
            renewed = await asyncio.to_thread(renew, now)
        except OSError as err:
            log.error("certificates cannot be renewed", error=str(err))
        else:
            if renewed.files:
                log.info("certificates renewed", files=", ".join(renewed.files))
            pause = min(max((renewed.due - now).total_seconds(), AT_LEAST), AT_MOST)
        await clock.sleep(pause)
