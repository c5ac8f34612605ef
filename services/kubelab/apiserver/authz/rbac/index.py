"""Who has which rules: roles and bindings of the watch caches, indexed by subject.

Serial: the caches tell each change between two awaits, and the index takes it in at once. Which namespaces and names a
user may do something for is remembered until the next change.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from google.protobuf.message import Message

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.rbac.rules import Rule, rules_of
from kubelab.apimachinery.scheme import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Resource
from kubelab.apiserver.authn.tokens import SUBJECT_PREFIX
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Change, Entry
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User

REMEMBERED = 8192  # decisions
Key = tuple[str, str]
"""Namespace and name; the namespace of cluster roles and their bindings is empty."""
Scope = tuple[str, frozenset[str]]
"""A namespace, empty for all, and names, empty for all."""
EVERYWHERE: Scope = ("", frozenset())


class Binding(NamedTuple):
    """``role`` is the key of what it gives, ``subjects`` are user names and groups as the index has them."""

    key: Key
    role: Key
    subjects: tuple[Key, ...]


class RoleIndex:
    """The rules of everybody."""

    def __init__(self, caches: Mapping[Resource[Message], ResourceCache]) -> None:
        self._rules: dict[Key, tuple[Rule, ...]] = {}
        self._bindings: dict[Key, Binding] = {}
        self._by_subject: dict[Key, dict[Key, Binding]] = {}
        self._scopes = functools.lru_cache(maxsize=REMEMBERED)(self._find_scopes)
        for resource in (CLUSTER_ROLES, ROLES):
            self._follow(caches[resource], self._take_role, namespaced=resource.namespaced)
        for resource in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            self._follow(caches[resource], self._take_binding, namespaced=resource.namespaced)

    # --- decisions

    def allows(self, a: Attributes, name: str | None = None) -> bool:
        """Say whether a rule of the user's allows a request; with ``name`` as if it had that one."""
        name, user = a.name if name is None else name, a.user
        if a.resource:  # by name and groups: each token of an account comes with other extra values
            scopes = self._scopes(user.name, user.groups, a.verb, a.group, a.resource, a.subresource)
        else:
            scopes = self._scopes(user.name, user.groups, a.verb, "", "", a.path)
        return any(
            (not namespace or namespace == a.namespace) and (not names or name in names) for namespace, names in scopes
        )

    def _find_scopes(
        self, user: str, groups: frozenset[str], verb: str, group: str, resource: str, subresource: str
    ) -> tuple[Scope, ...]:
        """For which namespaces and names a user may do something. Without a resource the last argument is a path."""
        found: dict[Scope, None] = {}
        for binding in self._of(user, groups):
            namespace = binding.key[0]
            for rule in self._rules.get(binding.role, ()):
                if resource:
                    covered = rule.covers(verb, group, resource, subresource)
                else:
                    covered = not namespace and rule.allows_path(verb, subresource)
                if covered:
                    found[(namespace, frozenset(rule.names))] = None
        return (EVERYWHERE,) if EVERYWHERE in found else tuple(found)

    def why(self, a: Attributes) -> str:
        """Name the binding that allows a request, in upstream's words; empty where none does."""
        for binding in self._of_user(a.user):
            namespace, name = binding.key
            if namespace and namespace != a.namespace:
                continue
            for rule in self._rules.get(binding.role, ()):
                if a.resource:
                    allowed = rule.allows(a.verb, a.group, a.resource, a.subresource, a.name)
                else:
                    allowed = not namespace and rule.allows_path(a.verb, a.path)
                if allowed:
                    what = f'RoleBinding "{name}/{namespace}"' if namespace else f'ClusterRoleBinding "{name}"'
                    kind = "Role" if binding.role[0] else "ClusterRole"
                    return f'RBAC: allowed by {what} of {kind} "{binding.role[1]}" to {_who(binding, a.user)}'
        return ""

    def missing(self, user: User, namespace: str) -> str:
        """Name the roles that bindings of the user's refer to and that are not there, in upstream's words."""
        lost = [
            f'{"role" if binding.role[0] else "clusterrole"}.{ROLES.group} "{binding.role[1]}" not found'
            for binding in self._of_user(user)
            if binding.key[0] in ("", namespace) and binding.role not in self._rules
        ]
        lost = list(dict.fromkeys(lost))
        if not lost:
            return ""
        return f"RBAC: {lost[0]}" if len(lost) == 1 else f"RBAC: [{', '.join(lost)}]"

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """Give all rules that hold for a user in a namespace; without one those that hold everywhere."""
        return [
            rule
            for binding in self._of_user(user)
            if binding.key[0] in ("", namespace)
            for rule in self._rules.get(binding.role, ())
        ]

    def role(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """Give the rules of a role, or without a namespace of a cluster role; None where it is not there."""
        return self._rules.get((namespace, name))

    def _of_user(self, user: User) -> Iterator[Binding]:
        """The bindings of a user and their groups, each once; cluster role bindings come first."""
        return self._of(user.name, user.groups)

    def _of(self, name: str, groups: frozenset[str]) -> Iterator[Binding]:
        found: dict[Key, Binding] = {}
        for subject in (("User", name), *(("Group", group) for group in groups)):
            found.update(self._by_subject.get(subject, {}))
        yield from sorted(found.values(), key=lambda binding: binding.key)

    # --- the index

    def _follow(self, cache: ResourceCache, take: _Take, *, namespaced: bool) -> None:
        def changed(change: Change) -> None:
            entry = change.entry or change.previous
            assert entry is not None
            take((entry.namespace, entry.name), change.entry)
            self._scopes.cache_clear()

        def replaced() -> None:
            held = self._rules if take == self._take_role else self._bindings
            for key in [key for key in held if bool(key[0]) == namespaced]:
                take(key, None)
            for entry in cache.entries.values():
                take((entry.namespace, entry.name), entry)
            self._scopes.cache_clear()

        cache.on_change(changed)
        cache.on_replace(replaced)
        replaced()

    def _take_role(self, key: Key, entry: Entry | None) -> None:
        if entry is None:
            self._rules.pop(key, None)
        else:
            message = rbac_pb2.Role if key[0] else rbac_pb2.ClusterRole
            self._rules[key] = rules_of(message.FromString(entry.raw).rules)

    def _take_binding(self, key: Key, entry: Entry | None) -> None:
        before = self._bindings.pop(key, None)
        for subject in before.subjects if before else ():
            of_subject = self._by_subject[subject]
            del of_subject[key]
            if not of_subject:
                del self._by_subject[subject]
        if entry is None:
            return
        message = rbac_pb2.RoleBinding if key[0] else rbac_pb2.ClusterRoleBinding
        obj = message.FromString(entry.raw)
        namespace = key[0] if obj.roleRef.kind == "Role" else ""
        subjects = tuple(dict.fromkeys(_subjects(obj.subjects, key[0])))
        binding = self._bindings[key] = Binding(key, (namespace, obj.roleRef.name), subjects)
        for subject in subjects:
            self._by_subject.setdefault(subject, {})[key] = binding


class _Take(Protocol):
    def __call__(self, key: Key, entry: Entry | None, /) -> None: ...


def _subjects(subjects: Iterable[rbac_pb2.Subject], namespace: str) -> Iterator[Key]:
    """Kind and name of each subject; a service account is the user that its tokens stand for."""
    for one in subjects:
        if one.kind == "ServiceAccount":
            yield "User", f"{SUBJECT_PREFIX}{one.namespace or namespace}:{one.name}"
        else:
            yield one.kind, one.name


def _who(binding: Binding, user: User) -> str:
    """The subject of a binding that the user is."""
    for kind, name in binding.subjects:
        if kind == "User" and name == user.name:
            if name.startswith(SUBJECT_PREFIX):
                namespace, _, account = name.removeprefix(SUBJECT_PREFIX).partition(":")
                return f'ServiceAccount "{account}/{namespace}"'
            return f'User "{name}"'
        if kind == "Group" and name in user.groups:
            return f'Group "{name}"'
    raise AssertionError("a binding of a user names them")
