"""``kctl create role``."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.rbac import rules
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class RoleOptions(GenerateOptions):
    resource: tuple[str, ...]
    resource_name: tuple[str, ...]
    verb: tuple[str, ...]


def _create(session: Session, args: tuple[str, ...], options: RoleOptions) -> int:
    from kubelab.api.rbac.v1 import rbac_pb2
    from kubelab.kctl.create.generated import create_one

    obj = rbac_pb2.Role()
    obj.metadata.name = only_name(session, args)
    verbs, resources = rules.verbs_of(options.verb), rules.named(options.resource)
    if not verbs:
        raise UsageProblem("at least one verb must be specified")
    rules.warn_of_verbs(verbs)
    if not resources:
        raise UsageProblem("at least one resource must be specified")
    obj.rules.extend(rules.rules(verbs, rules.resolve(session, resources, verbs), options.resource_name))
    return create_one(session, obj, options)


ROLE = Command(
    "role",
    run=_create,
    options=RoleOptions,
    flags=(rules.RESOURCE, rules.RESOURCE_NAME, rules.VERB, *GENERATE_FLAGS),
    about="Create a role with single rule.",
    examples="""\
# Create a role named "pod-reader" that allows user to perform "get", "watch" and "list" on pods
kctl create role pod-reader --verb=get --verb=list --verb=watch --resource=pods

# Create a role named "pod-reader" with ResourceName specified
kctl create role pod-reader --verb=get --resource=pods --resource-name=readablepod --resource-name=anotherpod

# Create a role named "foo" with API Group specified
kctl create role foo --verb=get,list,watch --resource=rs.apps

# Create a role named "foo" with SubResource specified
kctl create role foo --verb=get,list,watch --resource=pods,pods/status
""",
    usage="kctl create role NAME --verb=verb --resource=resource.group/subresource [--resource-name=resourcename] "
    "[--dry-run=server|client|none]",
)
