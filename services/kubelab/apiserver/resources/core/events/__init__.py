"""Events: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import EVENTS
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.event import EventStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(EVENTS, EventStrategy(EVENTS), rows.event_row, expires=True)
