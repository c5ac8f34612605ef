"""Deployments: what the api-server knows of them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.scheme import DEPLOYMENTS
from kubelab.apiserver.resources.apps.deployments.printer import row
from kubelab.apiserver.resources.apps.deployments.strategy import DeploymentStrategy
from kubelab.apiserver.resources.scale import scale_of
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        DEPLOYMENTS,
        DeploymentStrategy(DEPLOYMENTS),
        row,
        path="deployments",
        subresources={"status": STATUS, "scale": scale_of(DEPLOYMENTS, _selector)},
    )


def _selector(deployment: apps_pb2.Deployment) -> str:
    return labelselectors.text(deployment.spec.selector)
