"""Asks one webhook over HTTPS. Each request has a connection of its own: a webhook is asked seldom, and its certificate
authority may be another one the next time."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.admission.webhooks.hooks import Hook

if TYPE_CHECKING:
    import aiohttp

MAX_ANSWER = 3 * 1024 * 1024  # bytes
SERVICE_PORT = 443
DEFAULT_SECONDS = 10
Connect = Callable[[pb.ServiceReference, ssl.SSLContext], AbstractAsyncContextManager["aiohttp.BaseConnector"]]
"""Connects to a pod behind a service. Raises ApiError, OSError."""


class CallError(Exception):
    """A webhook gave no answer; the message says why."""


class Caller:
    """``connect`` reaches services."""

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self._connect, self._clock = connect, clock

    async def call(self, hook: Hook, review: dict[str, Any]) -> Any:
        """Send a review and give the answer's JSON. CallError."""
        import aiohttp

        seconds = hook.webhook.timeoutSeconds or DEFAULT_SECONDS
        url = _url(hook.webhook.clientConfig)
        shown = f"{url}{'&' if '?' in url else '?'}timeout={seconds}s"
        try:
            async with self._clock.timeout(seconds):
                return await self._post(hook.webhook.clientConfig, shown, json.dumps(review).encode())
        except TimeoutError:
            raise CallError(f'failed to call webhook: Post "{shown}": context deadline exceeded') from None
        except (aiohttp.ClientError, errors.ApiError, OSError, ValueError) as err:
            raise CallError(f'failed to call webhook: Post "{shown}": {_why(err)}') from err

    async def _post(self, config: pb.WebhookClientConfig, url: str, body: bytes) -> Any:
        import aiohttp

        async with (
            self._connector(config) as connector,
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            ) as session,
            session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                allow_redirects=False,
            ) as answer,
        ):
            data = await answer.content.read(MAX_ANSWER + 1)
            while len(data) <= MAX_ANSWER and (more := await answer.content.read(MAX_ANSWER + 1 - len(data))):
                data += more
            if len(data) > MAX_ANSWER:
                raise ValueError(f"the answer is longer than {MAX_ANSWER} bytes")
            if answer.status >= 300:
                raise ValueError(f"the server answered {answer.status} {answer.reason or ''}".rstrip())
            return json.loads(data)

    @asynccontextmanager
    async def _connector(self, config: pb.WebhookClientConfig) -> AsyncGenerator[aiohttp.BaseConnector]:
        import aiohttp

        context = _context(config.caBundle)
        if config.HasField("service"):
            async with self._connect(config.service, context) as connector:
                yield connector
        else:
            yield aiohttp.TCPConnector(ssl=context, force_close=True)


def _url(config: pb.WebhookClientConfig) -> str:
    if not config.HasField("service"):
        return config.url
    service = config.service
    path = service.path if service.path.startswith("/") else f"/{service.path}"
    return f"https://{service.name}.{service.namespace}.svc:{service.port or SERVICE_PORT}{path}"


def _context(ca: bytes) -> ssl.SSLContext:
    """Trust the bundle, or the machine's authorities where there is none."""
    if not ca:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca.decode("utf-8", "replace"))
    return context


def _why(err: Exception) -> str:
    text = err.message if isinstance(err, errors.ApiError) else str(err)
    return text or type(err).__name__
