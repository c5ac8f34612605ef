"""Which flow schema a request belongs to: the first that matches, in the order of precedence and then of names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as pb
from kubelab.auth.users import User

ALL = "*"
_ACCOUNT = "system:serviceaccount:"


class Digest(NamedTuple):
    """What of a request schemas look at. ``resource`` has its subresource behind it, as rules name it: ``pods/status``;
    of what is no resource it is empty and ``path`` has the URL."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""


def in_order(schemas: Iterable[pb.FlowSchema]) -> list[pb.FlowSchema]:
    """Sort as they are tried."""
    return sorted(schemas, key=lambda schema: (schema.spec.matchingPrecedence, schema.metadata.name))


def matches(schema: pb.FlowSchema, digest: Digest) -> bool:
    """Say whether one of a schema's rules is about a request."""
    return any(
        any(_is_subject(one, digest.user) for one in rule.subjects)
        and (
            any(_covers(one, digest) for one in rule.resourceRules)
            if digest.resource
            else any(_covers_path(one, digest) for one in rule.nonResourceRules)
        )
        for rule in schema.spec.rules
    )


def distinguisher(schema: pb.FlowSchema, digest: Digest) -> str:
    """Give what tells a request's flow from the schema's other flows."""
    match schema.spec.distinguisherMethod.type:
        case "ByUser":
            return digest.user.name
        case "ByNamespace":
            return digest.namespace
        case _:
            return ""


def _is_subject(subject: pb.Subject, user: User) -> bool:
    match subject.kind:
        case "User":
            return subject.user.name in (ALL, user.name)
        case "Group":
            return subject.group.name == ALL or subject.group.name in user.groups
        case "ServiceAccount":
            account = subject.serviceAccount
            if account.name == ALL:
                return user.name.startswith(f"{_ACCOUNT}{account.namespace}:")
            return user.name == f"{_ACCOUNT}{account.namespace}:{account.name}"
        case _:
            return False


def _has(values: Iterable[str], value: str) -> bool:
    return any(one in (ALL, value) for one in values)


def _covers(rule: pb.ResourcePolicyRule, digest: Digest) -> bool:
    if not (_has(rule.verbs, digest.verb) and _has(rule.apiGroups, digest.group)):
        return False
    if not _has(rule.resources, digest.resource):
        return False
    return _has(rule.namespaces, digest.namespace) if digest.namespace else rule.clusterScope


def _covers_path(rule: pb.NonResourcePolicyRule, digest: Digest) -> bool:
    return _has(rule.verbs, digest.verb) and any(
        url in (ALL, digest.path) or (url.endswith("/*") and digest.path.startswith(url[:-1]))
        for url in rule.nonResourceURLs
    )
