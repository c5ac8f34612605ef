"""What a resource's rules are made of. Pure: objects in, complaints out; nothing here waits or writes.

The registry calls, for a create: default, prepare_for_create, validate; for an update: default, prepare_for_update,
validate_update; for the status subresource: prepare_for_status_update, validate_status_update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import immutability, marks, names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.strategies import causes, metadata

T = TypeVar("T", bound=Message)


class Strategy(Generic[T]):
    """The rules of one resource; subclasses say what differs."""

    check_name: metadata.NameCheck = staticmethod(names.dns_subdomain)
    has_generation: ClassVar[bool] = False
    """Whether changes of the spec are counted, as upstream does for some resources."""
    unconditional_update: ClassVar[bool] = True
    """Whether an update may come without a resourceVersion, and then overwrites any state."""
    default_policy: ClassVar[str] = ""
    """What becomes of an object's dependents where its deletion does not say; empty: the collector takes them."""

    warns_of_updates: ClassVar[bool] = False
    """Whether updates are warned about as creations are; where changes are counted, those of the spec alone."""

    def __init__(self, resource: Resource[T]) -> None:
        self.resource = resource
        self.has_status = "status" in resource.subresources

    def default(self, obj: T) -> None:
        """Fill in what upstream's defaulting fills in."""

    def prepare_for_create(self, obj: T) -> None:
        """Take away what only the system says: the status."""
        if self.has_status:
            obj.ClearField(cast(Any, "status"))
        meta_of(obj).generation = 1 if self.has_generation else 0

    def prepare_for_update(self, obj: T, old: T) -> None:
        """Keep the status, which has a subresource of its own, and count changes of the spec."""
        if self.has_status:
            cast(Any, obj).status.CopyFrom(cast(Any, old).status)
        changed = self.has_generation and cast(Any, obj).spec != cast(Any, old).spec
        meta_of(obj).generation = metadata.next_generation(meta_of(old).generation, changed)

    def prepare_for_status_update(self, obj: T, old: T) -> None:
        """Keep all but the status."""
        status = type(cast(Any, obj).status)()
        status.CopyFrom(cast(Any, obj).status)
        obj.CopyFrom(old)
        cast(Any, obj).status.CopyFrom(status)

    def validate(self, obj: T) -> list[Cause]:
        """All complaints about a new object."""
        complaints = [*self.validate_metadata(obj), *self.validate_content(obj)]
        return complaints + [causes.forbidden(path, why) for path, why in marks.refused(obj)]

    def validate_update(self, obj: T, old: T) -> list[Cause]:
        """All complaints about a change, each once."""
        complaints = [*self.validate_metadata_update(obj, old), *_immutable(obj, old)]
        complaints += [*self.validate_change(obj, old), *self.validate(obj)]
        return list(dict.fromkeys(complaints))

    def validate_status_update(self, obj: T, old: T) -> list[Cause]:
        """All complaints about a change of the status."""
        return self.validate_metadata_update(obj, old)

    def validate_metadata(self, obj: T) -> list[Cause]:
        complaints = metadata.validate(
            meta_of(obj), namespaced=self.resource.namespaced, check_name=type(self).check_name
        )
        if not self.resource.group:
            complaints += metadata.standard_finalizers(meta_of(obj))  # the core group is stricter than the others
        return complaints

    def validate_metadata_update(self, obj: T, old: T) -> list[Cause]:
        """Complaints about a change's metadata, which upstream looks at before all else (``rest.BeforeUpdate``)."""
        meta, namespaced = meta_of(obj), self.resource.namespaced
        complaints = metadata.validate(meta, namespaced=namespaced, check_name=names.path_segment)
        return complaints + metadata.validate_update(meta, meta_of(old))

    def validate_change(self, obj: T, old: T) -> list[Cause]:
        """Complaints about what may not become what."""
        return []

    def validate_content(self, obj: T) -> list[Cause]:
        """Complaints about everything but the metadata."""
        return []

    def warnings(self, obj: T) -> list[str]:
        """What is allowed in an object and yet hardly meant, or not acted on; ``obj`` is as it was sent, without
        defaults."""
        return marks.stored(obj)

    def selectable_fields(self, obj: T) -> Mapping[str, str]:
        """What field selectors can ask for."""
        meta = meta_of(obj)
        fields = {"metadata.name": meta.name}
        if self.resource.namespaced:
            fields["metadata.namespace"] = meta.namespace
        return fields

    def graceful_delete_seconds(self, obj: T, options: meta_pb2.DeleteOptions) -> int | None:
        """How long the object may take to go; None: it has no such time and goes at once."""
        return None


def _immutable(obj: Message, old: Message) -> list[Cause]:
    """Complain of what the contract marks as immutable; the metadata is looked at before."""
    changes = immutability.changed(obj, old, without="metadata")
    return [causes.immutable(field, value) for field, value in changes]
