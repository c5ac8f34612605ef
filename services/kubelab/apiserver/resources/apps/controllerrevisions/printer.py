"""The cells of a row of controller revisions, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apiserver.printers.cells import NONE, age


def row(revision: apps_pb2.ControllerRevision, now: float) -> list[str]:
    owner = get_controller_of(revision)
    controller = NONE
    if owner is not None:
        group = owner.apiVersion.rpartition("/")[0]
        controller = f"{owner.kind.lower()}{'.' if group else ''}{group}/{owner.name}"
    return [revision.metadata.name, controller, str(revision.revision), age(revision.metadata.creationTimestamp, now)]
