"""PriorityLevelConfigurations: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import PRIORITY_LEVEL_CONFIGURATIONS
from kubelab.apiserver.resources.flowcontrol.prioritylevelconfigurations.printer import row
from kubelab.apiserver.resources.flowcontrol.prioritylevelconfigurations.strategy import PriorityLevelStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        PRIORITY_LEVEL_CONFIGURATIONS,
        PriorityLevelStrategy(PRIORITY_LEVEL_CONFIGURATIONS),
        row,
        path="prioritylevelconfigurations",
        subresources={"status": STATUS},
    )
