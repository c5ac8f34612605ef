"""Rules from the flags of ``kctl create role`` and ``clusterrole``, as kubectl makes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import resource as types
from kubelab.kctl.discovered import retried
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.api.rbac.v1 import rbac_pb2

ANY = "*"
RBAC = "rbac.authorization.k8s.io"
RESOURCE_VERBS = frozenset(
    {
        *(ANY, "get", "delete", "list", "create", "update", "patch", "watch", "proxy"),
        *("deletecollection", "use", "bind", "escalate", "impersonate"),
    }
)
URL_VERBS = frozenset({ANY, "get", "post", "put", "delete", "patch", "head", "options"})
_ROLES = frozenset({("roles", RBAC), ("clusterroles", RBAC)})
SPECIAL_VERBS: Mapping[str, frozenset[tuple[str, str]]] = {
    "use": frozenset({("podsecuritypolicies", "policy"), ("podsecuritypolicies", "extensions")}),
    "bind": _ROLES,
    "escalate": _ROLES,
    "impersonate": frozenset(
        {("users", ""), ("serviceaccounts", ""), ("groups", ""), ("userextras", "authentication.k8s.io")}
    ),
}
"""Verbs that only mean something for these resources, known to the server or not."""

VERB = Flag("--verb", kind="csv", help="Verb that applies to the resources contained in the rule")
RESOURCE = Flag("--resource", kind="csv", help="Resource that the rule applies to")
RESOURCE_NAME = Flag(
    "--resource-name",
    kind="list",
    help="Resource in the white list that the rule applies to, repeat this flag for multiple items",
)


class Named(NamedTuple):
    """What ``--resource`` names: ``deployments.apps/scale``."""

    resource: str
    group: str
    subresource: str


def verbs_of(verbs: Sequence[str]) -> list[str]:
    """Give each verb once; ``*`` stands for all others."""
    return [ANY] if ANY in verbs else list(dict.fromkeys(verbs))


def named(words: Sequence[str]) -> list[Named]:
    """Read what ``--resource`` names; ``*`` alone stands for all others."""
    found: list[Named] = []
    for word in words:
        target, _, subresource = word.partition("/")
        plural, _, group = target.partition(".")
        one = Named(plural, group, subresource)
        if word == ANY:
            return [one]
        found.append(one)
    return found


def resolve(session: Session, resources: Sequence[Named], verbs: Sequence[str]) -> list[Named]:
    """Give resources the names that the server has for them, ``po`` those of pods. Raises UsageProblem for what it
    does not know, and for a verb that means nothing there."""
    return [_resolve(session, one, verbs) for one in resources]


def _resolve(session: Session, one: Named, verbs: Sequence[str]) -> Named:
    if not one.resource:
        raise UsageProblem("resource must be specified if apiGroup/subresource specified")
    if one.resource == ANY:
        return one
    problem: types.UnknownType | None = None
    try:
        word = f"{one.resource}.{one.group}" if one.group else one.resource
        known = retried(session, lambda: types.find(word))
        one = one._replace(resource=known.plural, group=known.group)
    except types.UnknownType as err:
        problem = err
    for verb in verbs:
        if verb in SPECIAL_VERBS:
            if (one.resource, one.group) not in SPECIAL_VERBS[verb]:
                raise UsageProblem(f"can not perform '{verb}' on '{one.resource}' in group '{one.group}'")
            problem = None
    if problem is not None:
        where = f' in group "{one.group}"' if one.group else ""
        raise types.UnknownType(f'{types.NO_SUCH_TYPE} "{one.resource}"{where}')
    return one


def warn_of_verbs(verbs: Sequence[str]) -> None:
    """Warn of verbs that no resource has."""
    for verb in verbs:
        if verb not in RESOURCE_VERBS:
            print(f"Warning: '{escaped(verb)}' is not a standard resource verb", file=sys.stderr)


def rules(
    verbs: Sequence[str], resources: Sequence[Named], names: Sequence[str], urls: Sequence[str] = ()
) -> Iterator[rbac_pb2.PolicyRule]:
    """Make a rule for each API group, in the order of their names, and one for the URLs."""
    from kubelab.api.rbac.v1 import rbac_pb2

    groups: dict[str, list[str]] = {}
    for one in resources:
        target = f"{one.resource}/{one.subresource}" if one.subresource else one.resource
        members = groups.setdefault(one.group, [])
        if target not in members:
            members.append(target)
    for group in sorted(groups):
        yield rbac_pb2.PolicyRule(
            verbs=verbs, apiGroups=[group], resources=groups[group], resourceNames=dict.fromkeys(names)
        )
    if urls:
        yield rbac_pb2.PolicyRule(verbs=verbs, nonResourceURLs=dict.fromkeys(urls))
