"""The paths of the kubelet that people read through the api-server.

Upstream's kubelet serves them over HTTPS on the port that gRPC has here (``pkg/kubelet/server``).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.component.config import BaseConfig, document_of

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"
_HEALTH = frozenset({"/healthz", "/healthz/ping", "/healthz/syncloop"})


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. ``code`` is HTTP's status."""

    body: bytes
    content_type: str = _TEXT
    code: int = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Pages:
    """What each path gives. ``healthy`` says whether the kubelet serves, ``pods`` what is bound to its node."""

    config: BaseConfig
    healthy: Callable[[], bool]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    pods: Callable[[], Iterable[core_pb2.Pod]]

    async def get(self, path: str) -> Page:
        """Give the page of a path; one that is not there has a page that says so."""
        match path.rstrip("/"):
            case health if health in _HEALTH:
                if self.healthy():
                    return Page(b"ok")
                return Page(b"the kubelet is not ready", code=HTTPStatus.INTERNAL_SERVER_ERROR)
            case "/metrics":
                body, content_type = await self.metrics()
                return Page(body, content_type)
            case "/pods":
                return Page(_pod_list(self.pods()), _JSON)
            case "/configz":
                return Page(json.dumps({"kubeletconfig": document_of(self.config)}).encode(), _JSON)
            case _:
                return Page(b"404 page not found\n", code=HTTPStatus.NOT_FOUND)


def _pod_list(pods: Iterable[core_pb2.Pod]) -> bytes:
    items = [message_to_dict(pod) for pod in sorted(pods, key=lambda p: (p.metadata.namespace, p.metadata.name))]
    return json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}).encode()
