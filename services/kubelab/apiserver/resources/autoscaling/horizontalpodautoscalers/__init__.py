"""HorizontalPodAutoscalers: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import HORIZONTAL_POD_AUTOSCALERS
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers.printer import row
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers.strategy import HorizontalPodAutoscalerStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        HORIZONTAL_POD_AUTOSCALERS,
        HorizontalPodAutoscalerStrategy(HORIZONTAL_POD_AUTOSCALERS),
        row,
        path="horizontalpodautoscalers",
        subresources={"status": STATUS},
    )
