"""The move of an object from client-side to server-side apply: what the one has set becomes the other's.

``kubectl apply --server-side`` does it before it applies (client-go's ``csaupgrade``). Without it a field that is not
applied any more would stay: it would belong to the client-side manager for good.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.fieldsets import paths
from kubelab.apimachinery.fieldsets.managers import APPLY, UPDATE
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.meta import meta_of

Entry = meta_pb2.ManagedFieldsEntry

CLIENT_SIDE_APPLY = "kubectl-client-side-apply"


def upgrade_patch(obj: Message, client_managers: Collection[str], manager: str) -> bytes | None:
    """Make the JSON patch that gives ``manager`` what the client-side managers have; None where there is nothing.

    The patch has the object's resourceVersion: Conflict tells to read the object again. ValueError for entries that
    cannot be read.
    """
    m = meta_of(obj)
    before = list(m.managedFields)
    after = upgraded(before, client_managers, manager)
    if after == before:
        return None
    steps = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [message_to_dict(entry) for entry in after]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": m.resourceVersion},
    ]
    return json.dumps(steps).encode()


def owners(entries: Sequence[Entry], path: paths.Path, operation: str) -> list[str]:
    """Name the managers that have a field by an operation. ValueError for entries that cannot be read."""
    return [e.manager for e in entries if e.operation == operation and path in paths.decode(e.fieldsV1.Raw)]


def upgraded(entries: Sequence[Entry], client_managers: Collection[str], manager: str) -> list[Entry]:
    """Give the entries with those of the client-side managers put into the applier's, which is made where it is not
    there."""
    result = [_copied(entry) for entry in entries]
    for name in sorted(client_managers):
        result = _upgraded(result, name, manager)
    return result


def _upgraded(entries: list[Entry], client_manager: str, manager: str) -> list[Entry]:
    theirs = [e for e in entries if _is(e, client_manager, UPDATE)]
    target = next((e for e in entries if _is(e, manager, APPLY)), None)
    if target is None:
        if not theirs:
            return entries
        target = theirs[0]
        target.operation, target.manager = APPLY, manager
    same_version = next((e for e in theirs if e is not target and e.apiVersion == target.apiVersion), None)
    if same_version is not None:
        both = paths.decode(target.fieldsV1.Raw) | paths.decode(same_version.fieldsV1.Raw)
        target.fieldsV1.Raw = paths.encode(both)
    return [e for e in entries if e is target or not _is(e, client_manager, UPDATE)]


def _is(entry: Entry, manager: str, operation: str) -> bool:
    return entry.manager == manager and entry.operation == operation and not entry.subresource


def _copied(entry: Entry) -> Entry:
    copy = Entry()
    copy.CopyFrom(entry)
    return copy
