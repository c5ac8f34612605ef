"""The attributes of a request to the api-server, made once, before authorisation: from its path, its object and its
field selector. What authorisation looks at is then what the request does.

A name stands in the path for verbs on one object. A new object brings its name along, a collection has none; there a
name in the path is BadRequest, as is one that is not the object's.
"""

from __future__ import annotations

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, fields
from kubelab.apimachinery.fields import FieldSelector
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver import limits
from kubelab.apiserver.request import RequestPath
from kubelab.apiserver.resources.subresource import Subresource
from kubelab.apiserver.resources.table import Resources
from kubelab.auth.attributes import EVERYTHING, Attributes
from kubelab.auth.users import User

COLLECTION_VERBS = frozenset({"list", "watch", "deletecollection"})
_WITHOUT_NAME = COLLECTION_VERBS | {"create"}  # in the path


def lookup(path: RequestPath, resources: Resources) -> tuple[Resource[Message], Subresource | None]:
    """Find what a path names; NotFound where that is not served. A resource that is only passed through comes with its
    actions, as if they were a subresource's."""
    resource = resources.by_plural(path.group, path.resource, path.version)
    if resource is not None:
        if not path.subresource:
            return resource, resources.actions(resource)
        subresource = resources.subresource(resource, path.subresource)
        if subresource is not None:
            return resource, subresource
    raise errors.NotFound("the server could not find the requested resource", name=path.name, kind=path.resource)


def attributes_of(
    user: User, verb: str, resource: Resource[Message], path: RequestPath, selector: str, obj: Message | None
) -> Attributes:
    """Make a request's attributes. BadRequest where path, object and verb do not belong together.

    An object without a namespace gets the path's.
    """
    name, namespace, subresource, required = path.name, path.namespace, path.subresource, EVERYTHING
    _check_segment("Namespace", namespace)
    _check_segment("Name", name)
    if namespace and not resource.namespaced:
        raise errors.BadRequest(
            f'{resource.qualified} are not namespaced, but the path has the namespace "{namespace}"'
        )
    if subresource or verb not in _WITHOUT_NAME:
        if not name:
            raise errors.BadRequest("Name parameter required.")
    elif name:
        raise errors.BadRequest(_misplaced(verb, name))
    if verb in COLLECTION_VERBS:
        required = parse_fields(selector)
        chosen = required.exact("metadata.name") if required else ""
        if chosen and not subresource and _is_segment(chosen):
            name = chosen
    elif resource.namespaced and not namespace:
        raise errors.BadRequest("Namespace parameter required.")
    if obj is not None:
        name = _agreed_name(name, meta_of(obj))
        _agree_on_namespace(resource, namespace, meta_of(obj))
    return Attributes(user, verb, resource.group, resource.plural, subresource, namespace, name, required)


def parse_fields(selector: str) -> FieldSelector:
    """Read a field selector; BadRequest."""
    if not selector:
        return EVERYTHING
    limits.check_text(selector)
    try:
        return fields.parse(selector)
    except fields.FieldSelectorError as err:
        raise errors.BadRequest(str(err)) from err


def _misplaced(verb: str, name: str) -> str:
    if verb == "create":
        return f'the verb create takes the name from the object, but the path has the name "{name}"'
    return f'the verb {verb} has no place for a name in the path ("{name}"): use the field selector metadata.name'


def _check_segment(what: str, text: str) -> None:
    """BadRequest, in upstream's words, for what could not be one segment of a path, nor of a key."""
    if _is_segment(text):
        return
    if text in (".", ".."):
        problem = f"may not be '{text}'"
    else:
        problem = ";".join(f"may not contain '{sign}'" for sign in "/%" if sign in text)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    raise errors.BadRequest(f'{what} parameter invalid: "{quoted}": {problem}')


def _is_segment(text: str) -> bool:
    return "/" not in text and "%" not in text and text != "." and text != ".."


def _agreed_name(name: str, m: meta_pb2.ObjectMeta) -> str:
    """The name that path and object give together; a new object gives it alone."""
    if not name:
        return m.name
    if not m.name:
        raise errors.BadRequest(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if m.name != name:
        raise errors.BadRequest(f"the name of the object ({m.name}) does not match the name on the URL ({name})")
    return name


def _agree_on_namespace(resource: Resource[Message], namespace: str, m: meta_pb2.ObjectMeta) -> None:
    if not resource.namespaced:
        m.ClearField("namespace")
        return
    if m.namespace and m.namespace != namespace:
        raise errors.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    m.namespace = namespace
