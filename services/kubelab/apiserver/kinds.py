"""What a kind's rules look like to the registry, and how the object of a request is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver import limits
from kubelab.apiserver.strategies import wellformed

M = TypeVar("M", bound=Message)


class Rules(Protocol):
    """One resource's strategy, as :mod:`kubelab.apiserver.strategies` has them: pure, no I/O."""

    unconditional_update: ClassVar[bool]
    default_policy: ClassVar[str]
    has_generation: ClassVar[bool]
    warns_of_updates: ClassVar[bool]
    has_status: bool

    def default(self, obj: Any, /) -> None: ...
    def prepare_for_create(self, obj: Any, /) -> None: ...
    def prepare_for_update(self, obj: Any, old: Any, /) -> None: ...
    def prepare_for_status_update(self, obj: Any, old: Any, /) -> None: ...
    def validate(self, obj: Any, /) -> list[Cause]: ...
    def validate_update(self, obj: Any, old: Any, /) -> list[Cause]: ...
    def validate_status_update(self, obj: Any, old: Any, /) -> list[Cause]: ...
    def warnings(self, obj: Any, /) -> list[str]: ...
    def selectable_fields(self, obj: Any, /) -> Mapping[str, str]: ...
    def graceful_delete_seconds(self, obj: Any, options: meta_pb2.DeleteOptions, /) -> int | None: ...


def decode(message: type[M], wanted: AnyMessage) -> M:
    """Read the object of a request; BadRequest when it is of another kind or no object at all, TooLarge for one of too
    many entries, Invalid for times that no reader could write."""
    expected = message.DESCRIPTOR
    if wanted.type_url != scheme.TYPE_URL_PREFIX + expected.full_name:
        got = wanted.type_url.rpartition(".")[2] or "nothing"
        raise errors.BadRequest(f"the object provided is unrecognized: got {got}, expected {expected.name}")
    try:
        obj = message.FromString(wanted.value)
    except (DecodeError, RecursionError) as err:
        raise errors.BadRequest(f"the object provided is unrecognized: {err}") from err
    limits.check_object(obj, len(wanted.value))
    if found := wellformed.validate(obj):
        raise errors.invalid(expected.name, meta_of(obj).name, found)
    return obj
