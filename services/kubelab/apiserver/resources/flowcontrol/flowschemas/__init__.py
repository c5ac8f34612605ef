"""FlowSchemas: what the api-server knows of them."""

from __future__ import annotations

from kubelab.apimachinery.scheme import FLOW_SCHEMAS
from kubelab.apiserver.resources.flowcontrol.flowschemas.printer import row
from kubelab.apiserver.resources.flowcontrol.flowschemas.strategy import FlowSchemaStrategy
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import STATUS


def storage(settings: Settings) -> ResourceStorage:
    del settings
    return ResourceStorage(
        FLOW_SCHEMAS, FlowSchemaStrategy(FLOW_SCHEMAS), row, path="flowschemas", subresources={"status": STATUS}
    )
