"""Objects between the writer and the store: encoded to be stored, decoded to be decided on."""

from __future__ import annotations

from google.protobuf.message import Message

from kubelab.apimachinery import errors
from kubelab.apiserver.resources.writes import ObjectState
from kubelab.apiserver.storage.store import KeyValue
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Entry

MAX_OBJECT = 1_500_000  # bytes of an encoded object


def encode(obj: Message) -> bytes:
    """Encode for the store; the same object always gives the same bytes. Spec and status are always there, as in
    upstream's encoding, so that copying an empty one changes nothing. TooLarge."""
    for part in ("spec", "status"):
        if part in obj.DESCRIPTOR.fields_by_name:
            getattr(obj, part).SetInParent()
    raw = obj.SerializeToString(deterministic=True)
    if len(raw) > MAX_OBJECT:
        raise errors.TooLarge(f"Request entity too large: limit is {MAX_OBJECT}")
    return raw


def state_of_entry(cache: ResourceCache, entry: Entry) -> ObjectState:
    """Decode what the cache holds of an object."""
    raw = entry.raw
    return ObjectState(cache.kind.resource.message.FromString(raw), raw, entry.revision)


def state_in_store(cache: ResourceCache, kv: KeyValue | None) -> ObjectState | None:
    """Decode what the store holds of an object, None for nothing; InternalError when it is no object of this kind."""
    if kv is None:
        return None
    envelope = cache.kind.envelope
    try:
        raw = envelope.open(kv.value)
        return ObjectState(envelope.decode(raw), raw, kv.mod_revision)
    except ValueError as err:
        raise errors.InternalError(f"Internal error occurred: {kv.key}: {err}") from err
