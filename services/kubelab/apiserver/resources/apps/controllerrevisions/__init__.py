"""ControllerRevisions: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CONTROLLER_REVISIONS
from kubelab.apiserver.resources.apps.controllerrevisions.printer import row
from kubelab.apiserver.resources.apps.controllerrevisions.strategy import ControllerRevisionStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings


def storage(settings: Settings) -> ResourceStorage:
    del settings
    strategy = ControllerRevisionStrategy(CONTROLLER_REVISIONS)
    return ResourceStorage(CONTROLLER_REVISIONS, strategy, row, path="controllerrevisions")
