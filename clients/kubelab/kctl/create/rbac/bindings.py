"""``kctl create rolebinding`` and ``kctl create clusterrolebinding``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.rbac.rules import RBAC
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.api.rbac.v1 import rbac_pb2


@dataclass(frozen=True, slots=True)
class ClusterRoleBindingOptions(GenerateOptions):
    clusterrole: str
    group: tuple[str, ...]
    serviceaccount: tuple[str, ...]
    user: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoleBindingOptions(GenerateOptions):
    clusterrole: str
    group: tuple[str, ...]
    role: str
    serviceaccount: tuple[str, ...]
    user: tuple[str, ...]


def subjects(users: Sequence[str], groups: Sequence[str], accounts: Sequence[str]) -> list[rbac_pb2.Subject]:
    """Make the subjects that flags name. Raises UsageProblem for an account without its namespace."""
    from kubelab.api.rbac.v1 import rbac_pb2

    made = [rbac_pb2.Subject(kind="User", apiGroup=RBAC, name=name) for name in users]
    made += [rbac_pb2.Subject(kind="Group", apiGroup=RBAC, name=name) for name in groups]
    for account in accounts:
        namespace, _, name = account.partition(":")
        if not name or ":" in name:
            raise UsageProblem("serviceaccount must be <namespace>:<name>")
        made.append(rbac_pb2.Subject(kind="ServiceAccount", namespace=namespace, name=name))
    return made


def _create_role_binding(session: Session, args: tuple[str, ...], options: RoleBindingOptions) -> int:
    from kubelab.api.rbac.v1 import rbac_pb2
    from kubelab.kctl.create.generated import create_one

    obj = rbac_pb2.RoleBinding()
    obj.metadata.name = only_name(session, args)
    if bool(options.clusterrole) == bool(options.role):
        raise UsageProblem("exactly one of clusterrole or role must be specified")
    kind, name = ("Role", options.role) if options.role else ("ClusterRole", options.clusterrole)
    obj.roleRef.apiGroup, obj.roleRef.kind, obj.roleRef.name = RBAC, kind, name
    obj.subjects.extend(subjects(options.user, options.group, options.serviceaccount))
    return create_one(session, obj, options, failing=lambda message: f"error: failed to create rolebinding: {message}")


def _create_cluster_role_binding(session: Session, args: tuple[str, ...], options: ClusterRoleBindingOptions) -> int:
    from kubelab.api.rbac.v1 import rbac_pb2
    from kubelab.kctl.create.generated import create_one

    obj = rbac_pb2.ClusterRoleBinding()
    obj.metadata.name = only_name(session, args)
    obj.roleRef.apiGroup, obj.roleRef.kind, obj.roleRef.name = RBAC, "ClusterRole", options.clusterrole
    obj.subjects.extend(subjects(options.user, options.group, options.serviceaccount))
    return create_one(
        session, obj, options, failing=lambda message: f"error: failed to create clusterrolebinding: {message}"
    )


def _subject_flags(role: str) -> tuple[Flag, ...]:
    return (
        Flag(
            "--group",
            kind="list",
            help=f"Groups to bind to the {role}. The flag can be repeated to add multiple groups.",
        ),
        Flag(
            "--serviceaccount",
            kind="list",
            help=f"Service accounts to bind to the {role}, in the format <namespace>:<name>. The flag can be repeated "
            "to add multiple service accounts.",
        ),
        Flag(
            "--user",
            kind="list",
            help=f"Usernames to bind to the {role}. The flag can be repeated to add multiple users.",
        ),
    )


ROLE_BINDING = Command(
    "rolebinding",
    run=_create_role_binding,
    options=RoleBindingOptions,
    flags=(
        Flag("--clusterrole", help="ClusterRole this RoleBinding should reference"),
        Flag("--role", help="Role this RoleBinding should reference"),
        *_subject_flags("role"),
        *GENERATE_FLAGS,
    ),
    about="Create a role binding for a particular role or cluster role.",
    examples="""\
# Create a role binding for user1, user2, and group1 using the admin cluster role
kctl create rolebinding admin --clusterrole=admin --user=user1 --user=user2 --group=group1

# Create a role binding for service account monitoring:sa-dev using the admin role
kctl create rolebinding admin-binding --role=admin --serviceaccount=monitoring:sa-dev
""",
    usage="kctl create rolebinding NAME --clusterrole=NAME|--role=NAME [--user=username] [--group=groupname] "
    "[--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
)
CLUSTER_ROLE_BINDING = Command(
    "clusterrolebinding",
    run=_create_cluster_role_binding,
    options=ClusterRoleBindingOptions,
    flags=(
        Flag("--clusterrole", required=True, help="ClusterRole this ClusterRoleBinding should reference"),
        *_subject_flags("clusterrole"),
        *GENERATE_FLAGS,
    ),
    about="Create a cluster role binding for a particular cluster role.",
    examples="""\
# Create a cluster role binding for user1, user2, and group1 using the cluster-admin cluster role
kctl create clusterrolebinding cluster-admin --clusterrole=cluster-admin --user=user1 --user=user2 --group=group1
""",
    usage="kctl create clusterrolebinding NAME --clusterrole=NAME [--user=username] [--group=groupname] "
    "[--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
)
