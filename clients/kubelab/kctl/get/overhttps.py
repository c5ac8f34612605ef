"""``kctl get --raw`` of paths that no verb of gRPC answers: such as ``/healthz``, ``/metrics``, ``/openapi/v3``."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
from yarl import URL

from kubelab.kctl.httpproxy import Upstream
from kubelab.kctl.session import Failed, Session

CALL_SECONDS = 60


def run(session: Session, uri: str) -> int:
    """Print what the api-server's REST API answers, as it is. Raises Failed for an answer that says no."""
    status, body = asyncio.run(_get(Upstream.of(session.server, session.access), uri))
    text = body.decode(errors="replace")
    if status >= 400:
        raise Failed(_refusal(status, text))
    sys.stdout.write(text)
    return 0


async def _get(upstream: Upstream, uri: str) -> tuple[int, bytes]:
    url = URL(f"https://{upstream.authority}{uri}", encoded=True)
    connector = aiohttp.TCPConnector(ssl=upstream.context)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(CALL_SECONDS)) as client,
            client.get(url, headers=upstream.headers, server_hostname=upstream.server_name) as answer,
        ):
            return answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError) as err:
        raise Failed(f"error: Get {url}: {err or 'no answer in time'}") from err


def _refusal(status: int, text: str) -> str:
    """Word a refusal as kubectl does: by the Status in it, or by the text."""
    try:
        found = json.loads(text)
        return f"Error from server ({found['reason']}): {found['message']}"
    except (ValueError, KeyError, TypeError):
        if status == 404:
            return "Error from server (NotFound): the server could not find the requested resource"
        shown = json.dumps(text, ensure_ascii=False)
        why = f"an error on the server ({shown}) has prevented the request from succeeding"
        return f"Error from server (InternalError): {why}"
