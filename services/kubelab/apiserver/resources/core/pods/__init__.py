"""Pods: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import PODS
from kubelab.apiserver.printers import rows
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.strategies.pod import PodStrategy


def storage(settings: Settings) -> ResourceStorage:
    return ResourceStorage(PODS, PodStrategy(PODS, settings.tolerations), rows.pod_row)
