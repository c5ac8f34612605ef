"""DaemonSets: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import DAEMON_SETS
from kubelab.apiserver.resources.apps.daemonsets.printer import row
from kubelab.apiserver.resources.apps.daemonsets.strategy import DaemonSetStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    strategy = DaemonSetStrategy(DAEMON_SETS)
    return ResourceStorage(DAEMON_SETS, strategy, row, path="daemonsets", subresources={"status": STATUS})
