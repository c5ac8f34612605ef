"""``kctl apply --prune``: deletes what an earlier apply created and the files do not have any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Container, Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.kctl.apply import lastapplied
from kubelab.kctl.apply.request import ApplyRequest, Target
from kubelab.kctl.flags import UsageProblem

if TYPE_CHECKING:
    from kubelab.client.client import Client

DEFAULT = (
    "/v1/ConfigMap",
    "/v1/Endpoints",
    "/v1/Namespace",
    "/v1/PersistentVolumeClaim",
    "/v1/PersistentVolume",
    "/v1/Pod",
    "/v1/ReplicationController",
    "/v1/Secret",
    "/v1/Service",
    "batch/v1/Job",
    "batch/v1/CronJob",
    "networking.k8s.io/v1/Ingress",
    "apps/v1/DaemonSet",
    "apps/v1/Deployment",
    "apps/v1/ReplicaSet",
    "apps/v1/StatefulSet",
)


def resources_of(allowlist: Sequence[str]) -> list[Resource[Message]]:
    """Read ``--prune-allowlist``, kubectl's own list without one: those that live in a namespace first."""
    found: list[Resource[Message]] = []
    for entry in allowlist or DEFAULT:
        parts = entry.split("/")
        if len(parts) != 3:
            raise UsageProblem(f"invalid GroupVersionKind format: {entry}, please follow <group/version/kind>")
        group, version, kind = "" if parts[0] == "core" else parts[0], parts[1], parts[2]
        resource = scheme.by_kind(f"{group}/{version}" if group else version, kind)
        if resource is not None:
            found.append(resource)
        elif allowlist:
            raise UsageProblem(f'no matches for kind "{kind}" in version "{group}/{version}"'.replace('"/', '"'))
    return sorted(found, key=lambda resource: not resource.namespaced)


async def prune(
    client: Client, request: ApplyRequest, targets: Sequence[Target], enforced: str, resources: list[Resource[Message]]
) -> None:
    """Delete, in the namespaces of the files, what carries the annotation and was not applied just now."""
    applied = {meta_of(target.live).uid for target in targets if target.live is not None}
    namespaces = {enforced, *(target.namespace for target in targets)}
    async for resource, obj in left_over(client, resources, namespaces, applied, request.options.selector):
        metadata = meta_of(obj)
        if not request.printer.dry:
            await client.delete(
                resource,
                metadata.name,
                metadata.namespace,
                grace_period_seconds=request.grace,
                propagation_policy=request.policy,
                dry_run=request.printer.server,
            )
        print(request.printer.show(obj, "pruned"), end="", flush=True)


async def left_over(
    client: Client,
    resources: Sequence[Resource[Message]],
    namespaces: Collection[str],
    applied: Container[str],
    selector: str,
) -> AsyncIterator[tuple[Resource[Message], Message]]:
    """Yield what carries the annotation in these namespaces and is none of the ``applied``, which are uids."""
    for resource in resources:
        for namespace in sorted({*namespaces} - {""}) if resource.namespaced else ("",):
            async for page in client.pages(resource, namespace, label_selector=selector):
                for obj in page.items:
                    if lastapplied.has(obj) and meta_of(obj).uid not in applied:
                        yield resource, obj
