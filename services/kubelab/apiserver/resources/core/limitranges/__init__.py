"""LimitRanges: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import LIMIT_RANGES
from kubelab.apiserver.resources.core.limitranges.printer import row
from kubelab.apiserver.resources.core.limitranges.strategy import LimitRangeStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(LIMIT_RANGES, LimitRangeStrategy(LIMIT_RANGES), row)
