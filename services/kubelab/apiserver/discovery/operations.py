"""The paths of a group version and what can be done with each, without the form that a version of OpenAPI gives them.

Paths, parameters and operation ids are upstream's; clients look operations up by
``x-kubernetes-group-version-kind`` and read from their parameters what the server knows, such as ``fieldValidation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kubelab.apiserver.discovery.groups import Served, Version
from kubelab.apiserver.discovery.parameters import (
    BELOW,
    DELETE,
    FORCE,
    LIST,
    NAME,
    NAMESPACE,
    OF_SUBRESOURCES,
    PRETTY,
    SELECT,
    WRITE,
    Parameter,
)
from kubelab.apiserver.discovery.subresources import CONNECT, Answer, answer

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
DELETE_OPTIONS, PATCH, STATUS, RESOURCE_LIST = (
    f"{_META}{name}" for name in ("DeleteOptions", "Patch", "Status", "APIResourceList")
)
NameOf = Callable[[Served, Answer], str]
"""Gives the name of the schema that a resource or its subresource has; empty for a stream."""

_PROXIED = ("delete", "get", "patch", "post", "put")
_WORDS = {"get": "read", "put": "replace", "patch": "patch", "post": "create", "delete": "delete"}
_OF_VERBS = {"get": "get", "update": "put", "patch": "patch", "create": "post"}


class Operation(NamedTuple):
    """``action`` is what ``x-kubernetes-action`` says; ``body`` and the values of ``answers`` name schemas.

    An answer without a schema is a text or a stream.
    """

    method: str
    action: str
    about: str
    id: str
    kind: Answer | None
    parameters: tuple[Parameter, ...]
    answers: Mapping[int, str]
    body: str = ""
    strategic: bool = True
    """Whether a patch may be a strategic one."""


class Path(NamedTuple):
    path: str
    parameters: tuple[Parameter, ...]
    operations: tuple[Operation, ...]


def paths(version: Version, name_of: NameOf) -> Iterator[Path]:
    """Give the paths of a group version."""
    identity = f"get{_stem(version)}APIResources"
    about = Operation("get", "", "Get the available resources.", identity, None, (), {200: RESOURCE_LIST})
    yield Path(f"/{version.path}/", (), (about,))
    for one in version.served:
        yield from _Resource(version, one, name_of).paths()


def tag(version: Version) -> str:
    """``core_v1``, ``rbacAuthorization_v1``: the mark of a group version's operations."""
    stem = _group(version)
    return f"{stem[0].lower()}{stem[1:]}_{version.name}"


def _stem(version: Version) -> str:
    """``CoreV1``, ``RbacAuthorizationV1``: a group version within the ids of operations."""
    return _group(version) + _capital(version.name)


def _group(version: Version) -> str:
    words = (version.group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
    return "".join(_capital(word) for word in words)


def _each(schema: str, *codes: int) -> dict[int, str]:
    return dict.fromkeys(codes, schema)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


class _Resource:
    """The paths of one resource."""

    def __init__(self, version: Version, one: Served, name_of: NameOf) -> None:
        self._one, self._resource, self._name_of = one, one.resource, name_of
        self._stem, self._version = _stem(version), version
        self._own = self._kind(Answer(one.resource.kind))
        self._schema = name_of(one, self._own)

    def _kind(self, what: Answer) -> Answer:
        """Fill in the group and version that a kind shares with its resource."""
        return what if what.version else Answer(what.kind, self._version.group, self._version.name, what.message)

    def paths(self) -> Iterator[Path]:
        r = self._resource
        root = f"/{self._version.path}"
        inside = f"{root}/namespaces/{{namespace}}" if r.namespaced else root
        place = (NAMESPACE,) if r.namespaced else ()
        middle = "Namespaced" if r.namespaced else ""
        if collection := tuple(self._collection(middle)):
            yield Path(f"{inside}/{r.plural}", (*place, PRETTY), collection)
        if r.namespaced and "list" in r.verbs:
            everywhere = self._list(f"list{self._stem}{r.kind}ForAllNamespaces")
            yield Path(f"{root}/{r.plural}", (PRETTY,), (everywhere,))
        if single := tuple(self._single(middle)):
            yield Path(f"{inside}/{r.plural}/{{name}}", (NAME, *place, PRETTY), single)
        for name in sorted(self._one.subresources):
            yield from self._subresource(f"{inside}/{r.plural}/{{name}}/{name}", name, (NAME, *place), middle)

    def _collection(self, middle: str) -> Iterator[Operation]:
        r, verbs, stem = self._resource, self._resource.verbs, self._stem
        if "list" in verbs:
            yield self._list(f"list{stem}{middle}{r.kind}")
        if "create" in verbs:
            answers = _each(self._schema, 200, 201, 202)
            identity = f"create{stem}{middle}{r.kind}"
            yield Operation("post", "post", f"Create a {r.kind}.", identity, self._own, WRITE, answers, self._schema)
        if "deletecollection" in verbs:
            parameters = tuple(sorted({*DELETE, *SELECT}))
            identity = f"delete{stem}Collection{middle}{r.kind}"
            about = f"Delete a collection of {r.kind}."
            yield Operation(
                "delete", "deletecollection", about, identity, self._own, parameters, {200: STATUS}, DELETE_OPTIONS
            )

    def _list(self, identity: str) -> Operation:
        about = f"List or watch objects of kind {self._resource.kind}."
        return Operation("get", "list", about, identity, self._own, LIST, {200: f"{self._schema}List"})

    def _single(self, middle: str) -> Iterator[Operation]:
        r = self._resource
        for verb in ("get", "update", "patch"):
            if verb in r.verbs:
                yield self._object(verb, self._own, self._schema, f"{middle}{r.kind}", f"the {r.kind}")
        if "delete" in r.verbs:
            identity = f"delete{self._stem}{middle}{r.kind}"
            answers = _each(STATUS, 200, 202)
            about = f"Delete the {r.kind}."
            yield Operation("delete", "delete", about, identity, self._own, DELETE, answers, DELETE_OPTIONS)

    def _object(self, verb: str, kind: Answer, schema: str, suffix: str, what: str) -> Operation:
        method = _OF_VERBS[verb]
        word = _WORDS[method]
        about, identity = f"{_capital(word)} {what}.", f"{word}{self._stem}{suffix}"
        if verb == "get":
            return Operation("get", "get", about, identity, kind, (), {200: schema})
        body = PATCH if verb == "patch" else schema
        parameters = (*WRITE, FORCE) if verb == "patch" else WRITE
        codes = (200, 201, 202) if verb == "create" else (200, 201)
        strategic = self._resource.custom is None
        return Operation(method, method, about, identity, kind, parameters, _each(schema, *codes), body, strategic)

    def _subresource(self, path: str, name: str, place: tuple[Parameter, ...], middle: str) -> Iterator[Path]:
        r, kind = self._resource, self._kind(answer(self._resource, name))
        suffix = f"{middle}{r.kind}{_capital(name)}"
        own = OF_SUBRESOURCES.get(name, ())
        if name in CONNECT:
            yield Path(path, place, tuple(self._connect(name, suffix, kind, own)))
            if name == "proxy":
                yield Path(
                    f"{path}/{{path}}", (*place, BELOW), tuple(self._connect(name, f"{suffix}WithPath", kind, own))
                )
            return
        schema = self._name_of(self._one, kind) if name != "log" else ""
        verbs = [verb for verb in _OF_VERBS if verb in self._one.subresources[name]]
        operations = [self._object(verb, kind, schema, suffix, f"{name} of the {r.kind}") for verb in verbs]
        if own:
            operations = [one._replace(parameters=(*own, *one.parameters)) for one in operations]
        yield Path(path, (*place, PRETTY), tuple(operations))

    def _connect(self, name: str, suffix: str, kind: Answer, own: tuple[Parameter, ...]) -> Iterator[Operation]:
        for method in _PROXIED if name == "proxy" else ("get", "post"):
            about = f"Connect {method.upper()} requests to {name} of the {self._resource.kind}."
            identity = f"connect{self._stem}{_capital(method)}{suffix}"
            yield Operation(method, "connect", about, identity, kind, own, {200: ""})
