"""What others check service accounts' tokens with: OpenID Connect's discovery and the keys.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kubelab.apiserver.authn.tokens import Tokens
from kubelab.apiserver.httpfront.routes import Call, PathHandler, Routes

CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


def register(routes: Routes, tokens: Tokens, address: str) -> None:
    """Register both paths. ``address`` is ``host:port`` of the api-server, where the keys are found."""
    configuration = {
        "issuer": tokens.issuer,
        "jwks_uri": f"https://{address}{KEYS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [tokens.key.algorithm],
    }
    routes.add(CONFIGURATION, _answer(configuration, "application/json"))
    routes.add(KEYS, _answer(tokens.key.key_set(), "application/jwk-set+json"))


def _answer(document: dict[str, Any], media_type: str) -> PathHandler:
    async def answer(call: Call) -> web.StreamResponse:
        del call
        return web.json_response(document, content_type=media_type, headers={"Cache-Control": "public, max-age=3600"})

    return answer
