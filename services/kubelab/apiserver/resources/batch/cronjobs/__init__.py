"""CronJobs: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import CRON_JOBS
from kubelab.apiserver.resources.batch.cronjobs.printer import row
from kubelab.apiserver.resources.batch.cronjobs.strategy import CronJobStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(CRON_JOBS, CronJobStrategy(CRON_JOBS), row, path="cronjobs", subresources={"status": STATUS})
