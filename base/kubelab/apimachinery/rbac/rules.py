"""Policy rules: what one allows, whether rules cover others, and how people read them.

After upstream's ``pkg/apis/rbac/v1/evaluation_helpers.go`` and ``component-helpers/auth/rbac/validation``
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources). ``*`` among resources is every
resource and subresource, ``*/scale`` the subresource of any.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kubelab.api.rbac.v1 import rbac_pb2

ALL = "*"


class Rule(NamedTuple):
    """A ``PolicyRule``, hashable."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def allows(self, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
        """Say whether the rule allows a verb on an object; an empty name is a collection."""
        return self.covers(verb, group, resource, subresource) and (not self.names or name in self.names)

    def covers(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Say whether the rule allows a verb on some objects of a resource."""
        return (
            (verb in self.verbs or ALL in self.verbs)
            and (group in self.groups or ALL in self.groups)
            and self._has(resource, subresource)
        )

    def _has(self, resource: str, subresource: str) -> bool:
        if not subresource:
            return resource in self.resources or ALL in self.resources
        return any(one in self.resources for one in (f"{resource}/{subresource}", ALL, f"*/{subresource}"))

    def allows_path(self, verb: str, path: str) -> bool:
        """Say whether the rule allows a verb on a path that is no resource."""
        return (verb in self.verbs or ALL in self.verbs) and any(_covers_path(url, path) for url in self.urls)


def rule_of(message: rbac_pb2.PolicyRule) -> Rule:
    """Read a rule."""
    return Rule(
        tuple(message.verbs),
        tuple(message.apiGroups),
        tuple(message.resources),
        tuple(message.resourceNames),
        tuple(message.nonResourceURLs),
    )


def rules_of(messages: Iterable[rbac_pb2.PolicyRule]) -> tuple[Rule, ...]:
    """Read the rules of a role."""
    return tuple(map(rule_of, messages))


def message_of(rule: Rule) -> rbac_pb2.PolicyRule:
    """Write a rule."""
    return rbac_pb2.PolicyRule(
        verbs=rule.verbs,
        apiGroups=rule.groups,
        resources=rule.resources,
        resourceNames=rule.names,
        nonResourceURLs=rule.urls,
    )


def _covers_path(owned: str, path: str) -> bool:
    return owned in (ALL, path) or (owned.endswith("*") and path.startswith(owned.rstrip("*")))


# --- cover


def breakdown(rule: Rule) -> Iterator[Rule]:
    """Give the rules of one verb, resource and name, or of one verb and URL, that a rule consists of."""
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for names in [(name,) for name in rule.names] or [()]:
                    yield Rule((verb,), (group,), (resource,), names)
    for url in rule.urls:
        for verb in rule.verbs:
            yield Rule((verb,), urls=(url,))


def uncovered(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Give what of the wanted rules the owned ones do not allow, broken down."""
    return [
        part
        for rule in dict.fromkeys(wanted)
        for part in breakdown(rule)
        if not any(_covers(owner, part) for owner in owned)
    ]


def _covers(owner: Rule, part: Rule) -> bool:
    """Say whether a rule covers one that is broken down."""
    if ALL not in owner.verbs and part.verbs[0] not in owner.verbs:
        return False
    if part.urls:
        return any(_covers_path(url, part.urls[0]) for url in owner.urls)
    if ALL not in owner.groups and part.groups[0] not in owner.groups:
        return False
    resource = part.resources[0]
    subresource = resource.partition("/")[2]
    if not any(one in owner.resources for one in (ALL, resource, *([f"*/{subresource}"] if subresource else []))):
        return False
    return not owner.names or bool(part.names and part.names[0] in owner.names)


# --- for people


def compact(parts: Iterable[Rule]) -> list[Rule]:
    """Join the verbs of parts that are about one and the same resource and name; URLs stay as they are."""
    joined: dict[Rule, list[str]] = {}
    for part in parts:
        key = part if part.urls else part._replace(verbs=())
        verbs = joined.setdefault(key, [])
        verbs += [verb for verb in part.verbs if verb not in verbs]
    return [key._replace(verbs=tuple(verbs)) for key, verbs in joined.items()]


def cells(rules: Iterable[Rule]) -> list[list[str]]:
    """Resources, URLs, names and verbs, a row for each resource and name, in the order of kubectl."""
    parts = compact(part for rule in rules for part in breakdown(rule))
    ordered = sorted(parts, key=lambda one: tuple(map(_words, one)))
    return [[_combined(one), _words(one.urls), _words(one.names), _words(one.verbs)] for one in ordered]


def _combined(one: Rule) -> str:
    """``deployments.apps/scale``."""
    if not one.resources:
        return ""
    resource, slash, subresource = one.resources[0].partition("/")
    return resource + (f".{one.groups[0]}" if one.groups[0] else "") + slash + subresource


def _words(words: Sequence[str]) -> str:
    return f"[{' '.join(words)}]"


def compact_string(rule: Rule) -> str:
    """``{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}``, as messages show a rule."""
    parts = (
        ("APIGroups", rule.groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.urls),
        ("ResourceNames", rule.names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:{quoted_words(words)}" for name, words in parts if words) + "}"


def quoted_words(words: Iterable[str]) -> str:
    """``["get" "list"]``: Go's ``%q`` of a list."""
    return f"[{' '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"
