"""The kind that each subresource answers with; what is not here answers with the resource's own."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import Message

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery.scheme import Resource

CONNECT = ("attach", "exec", "portforward", "proxy")
"""Subresources that are connections; a GET and a POST mean the same."""


class Answer(NamedTuple):
    """A kind; an empty version says that it is of its resource's group and version."""

    kind: str
    group: str = ""
    version: str = ""
    message: type[Message] | None = None


_ANSWERS = {
    "attach": Answer("PodAttachOptions"),
    "binding": Answer("Binding", message=core_pb2.Binding),
    "eviction": Answer("Eviction", "policy", "v1", policy_pb2.Eviction),
    "exec": Answer("PodExecOptions"),
    "portforward": Answer("PodPortForwardOptions"),
    "scale": Answer("Scale", "autoscaling", "v1", autoscaling_pb2.Scale),
    "token": Answer("TokenRequest", "authentication.k8s.io", "v1", authentication_pb2.TokenRequest),
}


def answer(resource: Resource[Message], subresource: str) -> Answer:
    """Give what ``resource/subresource`` reads and writes."""
    if subresource == "proxy":
        return Answer(f"{resource.kind}ProxyOptions")
    return _ANSWERS.get(subresource) or Answer(resource.kind, message=resource.message)
