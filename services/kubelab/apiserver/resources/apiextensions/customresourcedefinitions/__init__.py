"""CustomResourceDefinitions: what the api-server knows of them. What they define is served by
:mod:`kubelab.apiserver.customresources`."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CUSTOM_RESOURCE_DEFINITIONS
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions.deletion import decide
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions.printer import row
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions.strategy import (
    CustomResourceDefinitionStrategy,
)
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        CUSTOM_RESOURCE_DEFINITIONS,
        CustomResourceDefinitionStrategy(CUSTOM_RESOURCE_DEFINITIONS),
        row,
        decide_deletion=decide,
        subresources={"status": STATUS},
    )
