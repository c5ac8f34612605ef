"""Names and policies of images; the pulls themselves are the pod workers'. Pure."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import references


class InvalidImageName(Exception):
    """No registry could have an image of this name; the text is upstream's."""


def with_default_tag(image: str) -> str:
    """``node`` means ``node:latest``. Raises :class:`InvalidImageName`."""
    reference = _parsed(image)
    return image if reference.digest or image.endswith(f":{reference.tag}") else f"{image}:{reference.tag}"


def pull_policy(container: core_pb2.Container) -> str:
    """Give Always, IfNotPresent or Never; where the pod asks for none, Always for the tag ``latest`` only."""
    if container.imagePullPolicy:
        return container.imagePullPolicy
    return "Always" if _parsed(container.image).tag == references.LATEST else "IfNotPresent"


def _parsed(image: str) -> references.Reference:
    try:
        return references.parse(image)
    except references.BadReference as err:
        message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {err}'
        raise InvalidImageName(message) from err
