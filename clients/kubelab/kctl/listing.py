"""Add kubectl's explanation to the error of a refused list (cli-runtime, ``resource/selector.go``)."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource


@contextlib.contextmanager
def explained(resource: Resource[Message], label_selector: str = "", field_selector: str = "") -> Generator[None]:
    """Name the resource and the selectors in a BadRequest or NotFound of a list."""
    from kubelab.apimachinery.errors import BadRequest, Invalid, NotFound

    try:
        yield
    except (BadRequest, NotFound) as err:
        if isinstance(err, Invalid):
            raise
        mapping = f"{resource.group}/{resource.version}, Resource={resource.plural}"
        if label_selector or field_selector:
            chosen = f'that match label selector "{label_selector}", field selector "{field_selector}"'
            err.message = f'Unable to find "{mapping}" {chosen}: {err.message}'
        else:
            err.message = f'Unable to list "{mapping}": {err.message}'
        raise
