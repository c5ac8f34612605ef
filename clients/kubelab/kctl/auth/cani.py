"""``kctl auth can-i``: asks the server whether the caller may do something, or for all that the caller may do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery import scheme
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import tables
from kubelab.kctl.command import Command
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.authorization.v1 import authorization_pb2 as pb
    from kubelab.apimachinery.rbac.rules import Rule

# Verbs that Kubernetes knows; of another one kubectl warns, for it may be a slip.
RESOURCE_VERBS = frozenset(
    {
        *("approve", "attest", "bind", "create", "delete", "deletecollection", "escalate", "get", "impersonate"),
        *("list", "patch", "proxy", "sign", "update", "use", "watch", "*"),
    }
)
URL_VERBS = frozenset({"*", "delete", "get", "head", "options", "patch", "post", "put"})
NOT_DISCOVERED = frozenset({"users", "groups"})  # what only impersonation knows
TWO_ARGUMENTS = (
    "you must specify two arguments: verb resource or verb resource/resourceName.\n"
    "See 'kctl auth can-i -h' for help and examples."
)


@dataclass(frozen=True, slots=True)
class CanIOptions:
    all_namespaces: bool
    list: bool
    no_headers: bool
    quiet: bool
    subresource: str


def _can_i(session: Session, args: tuple[str, ...], options: CanIOptions) -> int:
    if options.list:
        return _list(session, args, options)
    if len(args) != 2:
        raise Failed(f"error: {TWO_ARGUMENTS}")
    review = _review(session, args[0], args[1], options)
    if options.no_headers:
        raise Failed("error: --no-headers cannot be set without --list specified")
    status = session.run(lambda client: client.create(review)).status
    if not options.quiet:
        reasons = [f" - {escaped(text)}" for text in (status.reason, status.evaluationError) if text]
        print("yes" if status.allowed else "no" + "".join(reasons))
    return 0 if status.allowed else 1


def _review(session: Session, verb: str, what: str, options: CanIOptions) -> pb.SelfSubjectAccessReview:
    from kubelab.api.authorization.v1 import authorization_pb2 as pb

    review = pb.SelfSubjectAccessReview()
    if what.startswith("/"):
        if options.subresource:
            raise Failed("error: --subresource can not be used with NonResourceURL")
        if verb not in URL_VERBS:
            _warn(f"verb '{verb}' is not a known verb\n")
        review.spec.nonResourceAttributes.verb, review.spec.nonResourceAttributes.path = verb, what
        return review
    word, _, name = what.partition("/")
    attributes = review.spec.resourceAttributes
    resource = None if word == "*" else scheme.find(word)
    if resource is None:
        _warn_of_unknown(word)
    elif not options.all_namespaces and not resource.namespaced:
        group = f" in group '{resource.group}'" if resource.group else ""
        _warn(f"resource '{resource.plural}' is not namespace scoped{group}\n")
    if verb not in RESOURCE_VERBS:
        _warn(f"verb '{verb}' is not a known verb\n")
    attributes.verb, attributes.name, attributes.subresource = verb, name, options.subresource
    attributes.namespace = "" if options.all_namespaces else session.namespace
    attributes.group = resource.group if resource is not None else "*" if word == "*" else ""
    attributes.resource = resource.plural if resource is not None else word
    return review


def _warn_of_unknown(word: str) -> None:
    name, _, group = word.lower().partition(".")
    if word == "*" or name in NOT_DISCOVERED:
        return
    _warn(f"the server doesn't have a resource type '{name}'" + (f" in group '{group}'" if group else ""))


def _warn(text: str) -> None:
    print(f"Warning: {escaped(text.rstrip())}" + ("\n" if text.endswith("\n") else ""), file=sys.stderr)


def _list(session: Session, args: Sequence[str], options: CanIOptions) -> int:
    from kubelab.api.authorization.v1 import authorization_pb2 as pb
    from kubelab.apimachinery.rbac import rules

    if args:
        raise Failed("error: list option must be specified with no arguments")
    if options.quiet or options.all_namespaces or options.subresource:
        raise Failed("error: list option can't be specified with neither quiet, all-namespaces nor subresource options")
    review = pb.SelfSubjectRulesReview(spec=pb.SelfSubjectRulesReviewSpec(namespace=session.namespace))
    status = session.run(lambda client: client.create(review)).status
    if status.incomplete:
        _warn(f"the list may be incomplete: {status.evaluationError}")
    rows = [] if options.no_headers else [["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]]
    sys.stdout.write(tables.render([*rows, *rules.cells(_rules(status))]))
    return 0


def _rules(status: pb.SubjectRulesReviewStatus) -> Iterator[Rule]:
    from kubelab.apimachinery.rbac.rules import Rule

    for one in status.resourceRules:
        yield Rule(tuple(one.verbs), tuple(one.apiGroups), tuple(one.resources), tuple(one.resourceNames))
    for one in status.nonResourceRules:
        yield Rule(tuple(one.verbs), urls=tuple(one.nonResourceURLs))


CAN_I = Command(
    "can-i",
    run=_can_i,
    options=CanIOptions,
    flags=(
        Flag("--all-namespaces", "-A", kind="bool", help="If true, check the specified action in all namespaces."),
        Flag("--list", kind="bool", help="If true, prints all allowed actions."),
        Flag("--no-headers", kind="bool", help="If true, prints allowed actions without headers"),
        Flag("--quiet", "-q", kind="bool", help="If true, suppress output and just return the exit code."),
        Flag("--subresource", help="SubResource such as pod/log or deployment/scale"),
    ),
    about="Check whether an action is allowed.\n\n"
    " VERB is a logical Kubernetes API verb like 'get', 'list', 'watch', 'delete', etc. TYPE is a Kubernetes resource. "
    'Shortcuts and groups will be resolved. NONRESOURCEURL is a partial URL that starts with "/". NAME is the name of '
    "a particular Kubernetes resource.",
    examples="""\
# Check to see if I can create pods in any namespace
kctl auth can-i create pods --all-namespaces

# Check to see if I can list deployments in my current namespace
kctl auth can-i list deployments.apps

# Check to see if I can do everything in my current namespace ("*" means all)
kctl auth can-i '*' '*'

# Check to see if I can read pod logs
kctl auth can-i get pods --subresource=log

# Check to see if I can access the URL /logs/
kctl auth can-i get /logs/

# List all allowed actions in namespace "foo"
kctl auth can-i --list --namespace=foo""",
    usage="kctl auth can-i VERB [TYPE | TYPE/NAME | NONRESOURCEURL]",
)
