"""ConfigMaps: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.configmap import ConfigMapStrategy


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(CONFIG_MAPS, ConfigMapStrategy(CONFIG_MAPS), rows.config_map_row)
