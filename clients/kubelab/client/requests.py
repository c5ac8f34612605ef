"""The calls of an api-server, and the parts that their requests are made of."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import Resource
from kubelab.client.transport import Method
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

_RESOURCES = "/kubelab.rpc.apiserver.v1.Resources/"
GET = Method(_RESOURCES + "Get", pb.GetRequest, pb.ObjectResponse, idempotent=True)
LIST = Method(_RESOURCES + "List", pb.ListRequest, pb.ListResponse, idempotent=True)
WATCH = Method(_RESOURCES + "Watch", pb.WatchRequest, pb.WatchEvent, idempotent=True)
CREATE = Method(_RESOURCES + "Create", pb.CreateRequest, pb.ObjectResponse)
UPDATE = Method(_RESOURCES + "Update", pb.UpdateRequest, pb.ObjectResponse)
PATCH = Method(_RESOURCES + "Patch", pb.PatchRequest, pb.ObjectResponse)
DELETE = Method(_RESOURCES + "Delete", pb.DeleteRequest, pb.ObjectResponse)
DELETE_COLLECTION = Method(_RESOURCES + "DeleteCollection", pb.DeleteCollectionRequest, pb.ListResponse)
_DISCOVERY = "/kubelab.rpc.apiserver.v1.Discovery/"
SERVER_VERSION = Method(
    _DISCOVERY + "ServerVersion", pb.ServerVersionRequest, pb.ServerVersionResponse, idempotent=True
)
SERVER_RESOURCES = Method(
    _DISCOVERY + "ServerResources", pb.ServerResourcesRequest, pb.ServerResourcesResponse, idempotent=True
)
POD_LOGS = Method("/kubelab.rpc.apiserver.v1.Pods/Logs", pb.PodLogsRequest, pb.PodLogsChunk, idempotent=True)
POD_EXEC = Method("/kubelab.rpc.apiserver.v1.Pods/Exec", pb.PodExecRequest, pb.CommandOutput)
POD_ATTACH = Method("/kubelab.rpc.apiserver.v1.Pods/Attach", pb.PodAttachRequest, pb.CommandOutput)
POD_PORT_FORWARD = Method(
    "/kubelab.rpc.apiserver.v1.Pods/PortForward", pb.PodPortForwardRequest, pb.PodPortForwardResponse
)
AUDIT_RECORDS = Method(
    "/kubelab.rpc.apiserver.v1.Audit/Records", pb.AuditRecordsRequest, pb.AuditRecord, idempotent=True
)


def list_options(
    label_selector: str, field_selector: str, resource_version: str = "", *, continue_: str = "", **others: Any
) -> meta_pb2.ListOptions:
    """Make the options of a list or a watch; ``continue`` is a keyword in Python."""
    options = meta_pb2.ListOptions(
        labelSelector=label_selector, fieldSelector=field_selector, resourceVersion=resource_version, **others
    )
    setattr(options, "continue", continue_)
    return options


def path_of(resource: Resource[Message], namespace: str = "", name: str = "", subresource: str = "") -> pb.ResourcePath:
    """Give the path of a request; a resource of the whole cluster has no namespace in it."""
    return pb.ResourcePath(
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        namespace=namespace if resource.namespaced else "",
        name=name,
        subresource=subresource,
    )


def delete_options(
    grace: int | None, policy: str | None, uid: str = "", resource_version: str = "", dry_run: bool = False
) -> meta_pb2.DeleteOptions:
    """Make the options of a deletion; what is empty or None is left to the api-server."""
    options = meta_pb2.DeleteOptions(dryRun=dry_run_values(dry_run))
    if grace is not None:
        options.gracePeriodSeconds = grace
    if policy is not None:
        options.propagationPolicy = policy
    if uid:
        options.preconditions.uid = uid
    if resource_version:
        options.preconditions.resourceVersion = resource_version
    return options


def patch_options(
    dry_run: bool, field_manager: str, field_validation: str = "", force: bool | None = None
) -> meta_pb2.PatchOptions:
    """Make the options of a patch; what is empty or None is left to the api-server."""
    return meta_pb2.PatchOptions(
        dryRun=dry_run_values(dry_run), fieldManager=field_manager, fieldValidation=field_validation, force=force
    )


def dry_run_values(dry_run: bool) -> tuple[str, ...]:
    """Give what options have for a write that shall store nothing."""
    return ("All",) if dry_run else ()
