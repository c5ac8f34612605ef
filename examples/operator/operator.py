"""An operator with kopf: it keeps a Deployment and a Service for each Website (``kopf run --standalone``)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import kopf
from lightkube import AsyncClient, codecs
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

GROUP, VERSION, PLURAL = "example.kubelab.dev", "v1", "websites"
WEBSITE: Any = create_namespaced_resource(GROUP, VERSION, "Website", PLURAL)
CHILDREN = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: "{name}", labels: {{website: "{name}"}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{website: "{name}"}}}}
  template:
    metadata: {{labels: {{website: "{name}"}}}}
    spec:
      containers:
      - name: web
        image: "{image}"
        command: [sh, -c, 'cd "$(mktemp -d)" && printf %s "$PAGE" > index.html && exec python3 -m http.server 8080']
        env: [{{name: PAGE, value: {page}}}]
        ports: [{{containerPort: 8080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: "{name}"}}
spec: {{selector: {{website: "{name}"}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""


@functools.cache
def client(namespace: str | None) -> Any:
    return AsyncClient(namespace=namespace, field_manager="website-operator")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = f"{GROUP}/remembered"


@kopf.on.resume(GROUP, VERSION, PLURAL)
@kopf.on.create(GROUP, VERSION, PLURAL)
@kopf.on.update(GROUP, VERSION, PLURAL)
async def apply(name: str, namespace: str | None, spec: Mapping[str, Any], body: kopf.Body, **_: Any) -> None:
    """Make the children, or change them; they go with the Website, which owns them."""
    page = json.dumps(spec["page"])  # a string of JSON is one of YAML
    text = CHILDREN.format(name=name, replicas=spec["replicas"], image=spec["image"], page=page)
    for child in codecs.load_all_yaml(text):
        made = child.to_dict()
        kopf.adopt(made, owner=body)
        await client(namespace).apply(type(child).from_dict(made), force=True)


@kopf.on.event("apps", VERSION, "deployments", labels={"website": kopf.PRESENT})
async def count(name: str, namespace: str | None, status: Mapping[str, Any], spec: Mapping[str, Any], **_: Any) -> None:
    """Tell in the Website's status how many of its servers are ready."""
    ready = status.get("readyReplicas", 0)
    told = {"status": {"ready": ready, "shown": f"{ready}/{spec.get('replicas', 0)}"}}
    await client(namespace).patch(WEBSITE.Status, name, told, patch_type=PatchType.MERGE)


@kopf.on.delete(GROUP, VERSION, PLURAL)
async def remember(name: str, namespace: str | None, spec: Mapping[str, Any], **_: Any) -> None:
    """Keep the last page of a Website; a finalizer holds it until this is done."""
    kept = {"metadata": {"name": f"{name}-last-page", "namespace": namespace}, "data": {"page": spec["page"]}}
    await client(namespace).apply(ConfigMap.from_dict({"apiVersion": "v1", "kind": "ConfigMap", **kept}), force=True)
