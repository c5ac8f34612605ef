"""PodDisruptionBudgets: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import POD_DISRUPTION_BUDGETS
from kubelab.apiserver.resources.policy.poddisruptionbudgets.printer import row
from kubelab.apiserver.resources.policy.poddisruptionbudgets.strategy import PodDisruptionBudgetStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        POD_DISRUPTION_BUDGETS,
        PodDisruptionBudgetStrategy(POD_DISRUPTION_BUDGETS),
        row,
        path="poddisruptionbudgets",
        subresources={"status": STATUS},
    )
