"""The cells of a row of secrets, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import age


def row(secret: core_pb2.Secret, now: float) -> list[str]:
    return [secret.metadata.name, secret.type, str(len(secret.data)), age(secret.metadata.creationTimestamp, now)]
