"""Jobs: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import JOBS
from kubelab.apiserver.resources.batch.jobs.printer import row
from kubelab.apiserver.resources.batch.jobs.strategy import JobStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(JOBS, JobStrategy(JOBS), row, path="jobs", subresources={"status": STATUS})
