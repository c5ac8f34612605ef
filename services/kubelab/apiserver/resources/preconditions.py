"""What a client may require of the state that its write replaces."""

from __future__ import annotations

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.resources.writes import ObjectState

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def check_unmodified(resource: Resource[Message], name: str, m: meta_pb2.ObjectMeta, state: ObjectState) -> None:
    """Conflict when what a client sends was read from another version, or is of another object, than this one."""
    if m.resourceVersion and m.resourceVersion != str(state.revision):
        raise errors.conflict(resource.plural, name, _MODIFIED, resource.group)
    uid = meta_of(state.obj).uid
    if m.uid and m.uid != uid:
        raise errors.conflict(resource.plural, name, _other_uid(m.uid, uid), resource.group)


def check_preconditions(
    resource: Resource[Message], name: str, options: meta_pb2.DeleteOptions, state: ObjectState
) -> None:
    """Conflict when a deletion's preconditions do not hold."""
    required, uid = options.preconditions, meta_of(state.obj).uid
    why = ""
    if required.HasField("uid") and required.uid != uid:
        why = _other_uid(required.uid, uid)
    elif required.HasField("resourceVersion") and required.resourceVersion != str(state.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {required.resourceVersion}, "
            f"ResourceVersion in object meta: {state.revision}"
        )
    if why:
        raise errors.conflict(resource.plural, name, why, resource.group)


def _other_uid(required: str, uid: str) -> str:
    return f"Precondition failed: UID in precondition: {required}, UID in object meta: {uid}"
