"""From a gRPC call to a request of the endpoints."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from kubelab.apiserver.authn.authenticator import AUTHORIZATION
from kubelab.apiserver.request import Request, RequestPath
from kubelab.auth.users import certificate_of
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


def request_of(
    context: Context, verb: str, path: pb.ResourcePath, *, content: AnyMessage | None = None, field_selector: str = ""
) -> Request:
    """Frame a call: its path, its client's certificate, its metadata, and the object that it carries.

    Every connection of this front has a client certificate. A call that carries a token is the token's user's.
    """
    where = RequestPath(path.group, path.version, path.resource, path.namespace, path.name, path.subresource)
    metadata = context.invocation_metadata() or ()
    by_token = any(key == AUTHORIZATION for key, _ in metadata)
    return Request(verb, where, b"" if by_token else certificate_of(context), metadata, content, field_selector)
