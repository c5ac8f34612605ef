"""ControllerRevisions: the states of a template that a DaemonSet or StatefulSet keeps, so that it can come back.

After upstream's ``pkg/controller/history``. The data is a strategic merge patch that replaces the template.
https://kubernetes.io/docs/tasks/manage-daemon/rollback-daemon-set/#understanding-daemonset-revisions
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.manifest import decode, encode
from kubelab.apimachinery.manifest.diagnostics import ManifestError

POD_HASH = "controller-revision-hash"
"""The label of a pod that says of which revision it is."""
REVISION_HASH = "controller.kubernetes.io/hash"
CHANGE_CAUSE = "kubernetes.io/change-cause"
_REPLACE = "$patch"


def data_of(template: core_pb2.PodTemplateSpec) -> bytes:
    """Give the patch that sets a template."""
    whole = {**encode.message_to_dict(template), _REPLACE: "replace"}
    patch = {"spec": {"template": whole}}
    return json.dumps(patch, separators=(",", ":"), sort_keys=True).encode()


def template_of(revision: apps_pb2.ControllerRevision) -> core_pb2.PodTemplateSpec:
    """Read the template of a revision. Raises ValueError for data that has none."""
    try:
        template = {**json.loads(revision.data.raw)["spec"]["template"]}
    except (ValueError, KeyError, TypeError) as err:
        raise ValueError(f"controllerrevision {revision.metadata.name} holds no template") from err
    template.pop(_REPLACE, None)
    document = {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"template": template}}
    try:
        [read] = decode.decode(json.dumps(document), "revision")
    except ManifestError as err:
        raise ValueError(f"controllerrevision {revision.metadata.name} holds no template: {err}") from err
    assert isinstance(read.obj, apps_pb2.DaemonSet)
    return read.obj.spec.template


def by_age(revisions: Iterable[apps_pb2.ControllerRevision]) -> list[apps_pb2.ControllerRevision]:
    """Sort revisions, the oldest first."""
    return sorted(revisions, key=lambda one: (one.revision, one.metadata.creationTimestamp.seconds, one.metadata.name))
