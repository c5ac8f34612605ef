"""PriorityClasses: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import PRIORITY_CLASSES
from kubelab.apiserver.resources.scheduling.priorityclasses.printer import row
from kubelab.apiserver.resources.scheduling.priorityclasses.strategy import PriorityClassStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(PRIORITY_CLASSES, PriorityClassStrategy(PRIORITY_CLASSES), row, path="priorityclasses")
