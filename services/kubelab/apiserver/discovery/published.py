"""The documents as they are sent: made when somebody asks, compressed, and kept until the registry changes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.discovery import documents, openapi
from kubelab.apiserver.discovery.groups import Group, Served, Version, groups
from kubelab.apiserver.discovery.openapi import CustomSchemas, Document, no_custom
from kubelab.apiserver.resources.table import Resources

JSON = "application/json"
AGGREGATED = {
    version: f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
}
SWAGGER_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
SWAGGER_PROTOBUF_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What kubectl asks for. The ``@`` is no character of a media type, so kubectl refuses an answer that has it."""
OPENAPI_3 = "/openapi/v3"


class Publication(NamedTuple):
    """A document: its media type, its bytes as gzip has them, and the SHA-512 of the plain ones in hexadecimal."""

    media_type: str
    compressed: bytes
    hash: str

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.compressed)


class Published:
    """What an api-server says about what it serves. ``server`` is the address that ``/api`` names."""

    def __init__(self, resources: Resources, server: str, custom: CustomSchemas = no_custom) -> None:
        self._resources, self._server, self._custom = resources, server, custom
        self._served: Sequence[Resource[Message]] = ()
        self._groups: tuple[Group, ...] = ()
        self._kept: dict[tuple[str, str], Publication] = {}

    @property
    def groups(self) -> tuple[Group, ...]:
        """Everything that is served now."""
        self._refresh()
        return self._groups

    async def get(self, path: str, media_type: str = JSON) -> Publication | None:
        """Give the document at a path, without a slash at its end; None where there is none.

        Media types: those of ``media_types(path)``.
        """
        self._refresh()
        served, key = self._served, (path, media_type)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        if path == OPENAPI_3:
            made = publication(JSON, encoded(await self._index()))
        else:
            write = self._writer(path, media_type)
            if write is None:
                return None
            made = await asyncio.to_thread(lambda: publication(media_type, write()))
        if served is self._served:
            self._kept[key] = made
        return made

    def _refresh(self) -> None:
        served = self._resources.served
        if served == self._served:
            return
        self._served = served
        self._groups = groups(Served(resource, self._resources.subresource_verbs(resource)) for resource in served)
        self._kept.clear()

    def _writer(self, path: str, media_type: str) -> Callable[[], bytes] | None:
        """Find who writes the document; it runs in a thread and reads nothing that changes."""
        found, custom = self._groups, self._custom
        if path == "/openapi/v2":
            return lambda: _swagger(openapi.version_2(found, custom), media_type)
        if path.startswith(f"{OPENAPI_3}/"):
            version = self._version(path.removeprefix(f"{OPENAPI_3}/"))
            return (lambda: encoded(openapi.version_3(version, custom))) if version is not None else None
        document = self._discovery(path.strip("/"), media_type)
        return (lambda: encoded(document)) if document is not None else None

    def _discovery(self, path: str, media_type: str) -> Document | None:
        if path in ("api", "apis"):
            for version, aggregated in AGGREGATED.items():
                if media_type == aggregated:
                    named = path == "apis"
                    return documents.aggregated([group for group in self._groups if bool(group.name) == named], version)
            if path == "apis":
                return documents.api_group_list(self._groups)
            return documents.api_versions(self._server)
        for group in self._groups:
            if group.name and path == f"apis/{group.name}":
                return documents.api_group(group)
        version = self._version(path)
        return documents.api_resource_list(version) if version is not None else None

    def _version(self, path: str) -> Version | None:
        return next((v for group in self._groups for v in group.versions if v.path == path), None)

    async def _index(self) -> Document:
        """``/openapi/v3``: where each group version's document is, with its hash, so that clients may keep it."""
        paths: Document = {}
        for version in [version for group in self._groups for version in group.versions]:
            made = await self.get(f"{OPENAPI_3}/{version.path}")
            if made is not None:  # not gone meanwhile
                paths[version.path] = {"serverRelativeURL": f"{OPENAPI_3}/{version.path}?hash={made.hash}"}
        return {"paths": dict(sorted(paths.items()))}


def media_types(path: str) -> tuple[str, ...]:
    """Give the media types that the document at a path has, the preferred one first."""
    if path in ("/api", "/apis"):
        return (JSON, *AGGREGATED.values())
    return (JSON, SWAGGER_PROTOBUF) if path == "/openapi/v2" else (JSON,)


def _swagger(document: Document, media_type: str) -> bytes:
    if media_type == JSON:
        return encoded(document)
    from kubelab.apiserver.discovery import swagger

    return swagger.to_protobuf(document)


def encoded(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def publication(media_type: str, content: bytes) -> Publication:
    """Compress a document and name it by its content; the same content has the same bytes."""
    return Publication(media_type, gzip.compress(content, mtime=0), hashlib.sha512(content).hexdigest().upper())
