"""Events: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import EVENTS
from kubelab.apiserver.resources.core.events.printer import row
from kubelab.apiserver.resources.core.events.strategy import EventStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(EVENTS, EventStrategy(EVENTS), row, expires=True)
