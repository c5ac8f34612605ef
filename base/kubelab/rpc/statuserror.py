"""An error that a server answers with a bare gRPC status: the CRI and the image service have no Kubernetes Status."""

from __future__ import annotations

import grpc


class StatusError(Exception):
    """An answer other than OK: a status code, and a message for people.

    Any method may raise it; the edge of the server answers it (:mod:`kubelab.component.edge`).
    """

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.message, self.code = message, code
