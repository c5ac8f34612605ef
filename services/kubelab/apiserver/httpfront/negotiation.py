"""Media types: what a client accepts and what it sends
(https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources)."""

from __future__ import annotations

import functools
from typing import NamedTuple

from kubelab.apimachinery import errors

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
SERVED = (JSON, YAML, PROTOBUF)
STREAMED = (JSON, PROTOBUF)  # of watches
META = "meta.k8s.io"
TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
_CONVERSIONS = frozenset({TABLE, PARTIAL, PARTIAL_LIST})
_VERSIONS = frozenset({"v1", "v1beta1"})
_PRETTY_FOR = ("curl", "Wget", "Mozilla/5.0")  # programs behind which a person reads


class Accepted(NamedTuple):
    """How an answer is written. ``convert`` is the kind that the client wants instead of the object's own, in
    ``meta.k8s.io/<version>``; empty for the object itself."""

    media_type: str = JSON
    convert: str = ""
    version: str = ""
    pretty: bool = False


class Clause(NamedTuple):
    media_type: str
    parameters: dict[str, str]


@functools.lru_cache(maxsize=1024)
def accepted(header: str, served: tuple[str, ...] = SERVED) -> Accepted:
    """Choose among the media types of an ``Accept`` header. NotAcceptable."""
    if not header.strip():
        return Accepted(served[0])
    for clause in clauses(header):
        media_type = _matching(clause.media_type, served)
        convert, version = clause.parameters.get("as", ""), clause.parameters.get("v", "")
        if media_type is None:
            continue
        if convert and (
            clause.parameters.get("g", "") != META or convert not in _CONVERSIONS or version not in _VERSIONS
        ):
            continue
        if convert == TABLE and media_type == PROTOBUF:
            continue  # a Table has no protobuf form
        pretty = clause.parameters.get("pretty", "0") in ("1", "true")
        return Accepted(media_type, convert, version, pretty)
    raise errors.NotAcceptable(f"only the following media types are accepted: {', '.join(served)}")


def pretty_by_default(user_agent: str) -> bool:
    """Say whether a person reads what this program shows."""
    return user_agent.startswith(_PRETTY_FOR)


def sent(header: str) -> str:
    """Give the media type of a request's body, JSON where none is named. UnsupportedMediaType."""
    media_type = bare(header) or JSON
    if media_type not in SERVED:
        raise errors.UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(SERVED)}"
        )
    return media_type


def bare(header: str) -> str:
    """Give a media type without its parameters."""
    return header.partition(";")[0].strip().lower()


def _matching(wanted: str, served: tuple[str, ...]) -> str | None:
    if wanted in served:
        return wanted
    if wanted in ("*/*", "*"):
        return served[0]
    kind, _, sub = wanted.partition("/")
    return served[0] if kind == "application" and sub == "*" else None


def clauses(header: str) -> list[Clause]:
    """Read the header; the best first, in its order where two are equally good."""
    found: list[tuple[float, Clause]] = []
    for part in header.split(","):
        media_type, *rest = (one.strip() for one in part.split(";"))
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in (one.partition("=") for one in rest)}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if media_type:
            found.append((quality, Clause(media_type.lower(), parameters)))
    return [clause for _, clause in sorted(found, key=lambda one: -one[0])]
