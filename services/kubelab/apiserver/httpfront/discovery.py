"""The paths of discovery and OpenAPI: which form a client wants, and whether it has the document already."""

from __future__ import annotations

from email.utils import formatdate

from aiohttp import web

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.discovery.published import (
    OPENAPI_3,
    SWAGGER_PROTOBUF,
    SWAGGER_PROTOBUF_ASKED,
    Publication,
    Published,
    media_types,
)
from kubelab.apiserver.httpfront.negotiation import clauses
from kubelab.apiserver.httpfront.routes import Call, Route, Routes

_YEAR = 365 * 24 * 3600
_ASKED_AS = {SWAGGER_PROTOBUF_ASKED: SWAGGER_PROTOBUF}


class DiscoveryPaths:
    """Answers with what is published."""

    def __init__(self, published: Published, clock: Clock) -> None:
        self._published, self._clock = published, clock

    def add_to(self, routes: Routes) -> None:
        """Register the paths; those of groups and versions come and go with these."""
        for path in ("/api", "/apis", "/openapi/v2", OPENAPI_3):
            routes.add(path, self._answer)
        routes.add_lookup(self._find)

    def _find(self, path: str) -> Route | None:
        known = {f"/apis/{group.name}" for group in self._published.groups}
        paths = [version.path for group in self._published.groups for version in group.versions]
        known |= {f"/{path}" for path in paths} | {f"{OPENAPI_3}/{path}" for path in paths}
        return Route(self._answer) if path in known else None

    async def _answer(self, call: Call) -> web.StreamResponse:
        raw = call.raw
        path = raw.rel_url.path.rstrip("/")
        document = await self._published.get(path, chosen(raw.headers.get("Accept", ""), media_types(path)))
        if document is None:
            raise errors.NotFound("the server could not find the requested resource")
        headers = {"ETag": f'"{document.hash}"', "Vary": "Accept", "Cache-Control": "no-cache, private"}
        wanted = raw.rel_url.query.get("hash")
        if wanted is not None and path.startswith(f"{OPENAPI_3}/"):
            if wanted != document.hash:
                return web.Response(status=301, headers={"Location": f"{path}?hash={document.hash}"})
            headers |= {
                "Cache-Control": f"public, immutable, max-age={_YEAR}",
                "Expires": formatdate(self._clock.time() + _YEAR, usegmt=True),
            }
        if has_already(raw.headers.get("If-None-Match", ""), document.hash):
            return web.Response(status=304, headers=headers)
        return _whole(document, headers, raw.headers.get("Accept-Encoding", ""))


def _whole(document: Publication, headers: dict[str, str], encodings: str) -> web.Response:
    headers = {**headers, "Content-Type": document.media_type}
    if "gzip" not in encodings:
        return web.Response(body=document.plain, headers=headers)
    return web.Response(body=document.compressed, headers={**headers, "Content-Encoding": "gzip"})


def chosen(accept: str, served: tuple[str, ...]) -> str:
    """Choose among the media types of a document; the parameters of one (``as``, ``g``, ``v``) are part of it.

    NotAcceptable.
    """
    for clause in clauses(accept or "*/*"):
        media_type = _ASKED_AS.get(clause.media_type, clause.media_type)
        for one in served:
            name, *parameters = one.split(";")
            own = dict(parameter.split("=") for parameter in parameters)
            asked = {key: value for key, value in clause.parameters.items() if key in ("as", "g", "v")}
            if asked == own and media_type in (name, "*/*", "application/*"):
                return one
    raise errors.NotAcceptable(f"only the following media types are accepted: {', '.join(served)}")


def has_already(if_none_match: str, content: str) -> bool:
    """Say whether one of the tags of an ``If-None-Match`` header is this content's."""
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")}
    return content in tags or "*" in tags
