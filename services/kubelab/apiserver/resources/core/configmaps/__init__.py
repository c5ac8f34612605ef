"""ConfigMaps: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.apiserver.resources.core.configmaps.printer import row
from kubelab.apiserver.resources.core.configmaps.strategy import ConfigMapStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(CONFIG_MAPS, ConfigMapStrategy(CONFIG_MAPS), row)
