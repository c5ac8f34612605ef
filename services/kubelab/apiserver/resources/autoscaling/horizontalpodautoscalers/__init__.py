"""HorizontalPodAutoscalers: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers import v1
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers.printer import row
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers.strategy import HorizontalPodAutoscalerStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def first_version(settings: Settings) -> ResourceStorage:
    """The same objects as autoscaling/v1."""
    del settings
    return ResourceStorage(
        HORIZONTAL_POD_AUTOSCALERS_V1,
        v1.V1Strategy(),
        lambda obj, now: row(v1.to_v2(obj), now),
        path="horizontalpodautoscalers",
        envelope=v1.V1Envelope(),
        subresources={"status": STATUS},
    )


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        HORIZONTAL_POD_AUTOSCALERS,
        HorizontalPodAutoscalerStrategy(HORIZONTAL_POD_AUTOSCALERS),
        row,
        path="horizontalpodautoscalers",
        subresources={"status": STATUS},
    )
