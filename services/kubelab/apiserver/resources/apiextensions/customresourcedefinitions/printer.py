"""The cells of a row of definitions, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.apiextensions.v1 import apiextensions_pb2
from kubelab.apimachinery.timestamps import format_time


def row(crd: apiextensions_pb2.CustomResourceDefinition, now: float) -> list[str]:
    del now
    return [crd.metadata.name, format_time(crd.metadata.creationTimestamp)]
