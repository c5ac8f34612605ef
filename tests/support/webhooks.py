"""A webhook behind real TLS on loopback, for tests: it notes what it is asked, and answers what a test says."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.pki import TestAuthority

Answer = Callable[[dict[str, Any]], Any]
"""Makes the ``response`` of a review from its ``request``; anything but a dictionary is sent as it is."""


def allow(request: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"uid": request["uid"], "allowed": True, **more}


def deny(request: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"uid": request["uid"], "allowed": False, **({"status": status} if status else {})}


def patch(request: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return allow(request, patchType="JSONPatch", patch=encoded)


@dataclass
class WebhookServer:
    """``answers`` are by path; every path that has none allows everything."""

    ca: bytes
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        review = await request.json()
        self.asked.append((request.path, review["request"]))
        response = self.answers.get(request.path, allow)(review["request"])
        if isinstance(response, web.StreamResponse):
            return response
        return web.json_response({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response})


@contextlib.asynccontextmanager
async def webhook_server(authority: TestAuthority) -> AsyncGenerator[WebhookServer]:
    """Serve while the body runs."""
    files = authority.issue("webhook", names=("localhost", "hooks.default.svc"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    server = WebhookServer(authority.ca.read_bytes())
    app = web.Application()
    app.router.add_post("/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()
