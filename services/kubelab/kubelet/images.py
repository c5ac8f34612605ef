"""Names and policies of images; the pulls themselves are the pod workers'. Pure."""

from __future__ import annotations

import re

from kubelab.api.core.v1 import core_pb2

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_HOST}(?:\.{_HOST})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
# https://pkg.go.dev/github.com/distribution/reference: [domain "/"] path [":" tag] ["@" digest]
_REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?")


class InvalidImageName(Exception):
    """No registry could have an image of this name; the text is upstream's."""


def with_default_tag(image: str) -> str:
    """``node`` means ``node:latest``. Raises :class:`InvalidImageName`."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        why = "invalid reference format"
        if _REFERENCE.fullmatch(image.lower()):
            why = f"invalid reference format: repository name ({image.rpartition(':')[0] or image}) must be lowercase"
        raise InvalidImageName(
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
        )
    return image if match["tag"] or match["digest"] else f"{image}:latest"


def pull_policy(container: core_pb2.Container) -> str:
    """Always, IfNotPresent or Never; without a word, Always for ``:latest`` only."""
    if container.imagePullPolicy:
        return container.imagePullPolicy
    return "Always" if with_default_tag(container.image).endswith(":latest") else "IfNotPresent"
