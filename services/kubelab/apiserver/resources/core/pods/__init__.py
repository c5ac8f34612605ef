"""Pods: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import PODS
from kubelab.apiserver.resources.core.pods.printer import row
from kubelab.apiserver.resources.core.pods.strategy import TOLERATION_SECONDS, PodStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    tolerations = TOLERATION_SECONDS if settings.tolerations is None else settings.tolerations
    return ResourceStorage(PODS, PodStrategy(PODS, tolerations), row)
