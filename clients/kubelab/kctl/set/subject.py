"""``kctl set subject``: adds users, groups and service accounts to bindings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import SELECTOR
from kubelab.kctl.create.rbac.bindings import subjects
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.set import updating
from kubelab.kctl.set.flags import flags_of
from kubelab.kctl.set.updating import SetOptions, Update


@dataclass(frozen=True, slots=True)
class SubjectOptions(SetOptions):
    group: tuple[str, ...]
    selector: str
    serviceaccount: tuple[str, ...]
    user: tuple[str, ...]


def _subject(session: Session, args: tuple[str, ...], options: SubjectOptions) -> int:
    from kubelab.api.rbac.v1 import rbac_pb2

    if options.all and options.selector:
        raise UsageProblem(updating.ALL_AND_SELECTOR)
    if not (options.user or options.group or options.serviceaccount):
        raise UsageProblem("you must specify at least one value of user, group or serviceaccount")
    if options.local:
        updating.require_files(args, options)
    wanted = subjects(options.user, options.group, options.serviceaccount)

    def change(obj: Message) -> Sequence[str]:
        if not isinstance(obj, rbac_pb2.RoleBinding | rbac_pb2.ClusterRoleBinding):
            raise Failed("setting subjects is only supported for RoleBinding/ClusterRoleBinding")
        for subject in wanted:
            one = rbac_pb2.Subject()
            one.CopyFrom(subject)
            if one.kind == "ServiceAccount" and not one.namespace:
                if isinstance(obj, rbac_pb2.ClusterRoleBinding):
                    raise Failed("serviceaccount must be <namespace>:<name>, namespace must be specified")
                one.namespace = session.namespace
            if one not in obj.subjects:
                obj.subjects.append(one)
        return ()

    update = Update("subjects updated", "failed to patch subjects to rolebinding: ", change)
    return updating.run(session, args, options, update, selector=options.selector)


SUBJECT = Command(
    "subject",
    run=_subject,
    options=SubjectOptions,
    flags=(
        *flags_of("subject"),
        Flag("--group", kind="list", help="Groups to bind to the role"),
        SELECTOR,
        Flag("--serviceaccount", kind="list", help="Service accounts to bind to the role"),
        Flag("--user", kind="list", help="Usernames to bind to the role"),
    ),
    about="Update the user, group, or service account in a role binding or cluster role binding.",
    examples="""\
# Update a cluster role binding for serviceaccount1
kctl set subject clusterrolebinding admin --serviceaccount=namespace:serviceaccount1

# Update a role binding for user1, user2, and group1
kctl set subject rolebinding admin --user=user1 --user=user2 --group=group1

# Print the result (in YAML format) of updating rolebinding subjects from a local, without hitting the server
kctl create rolebinding admin --role=admin --user=admin -o yaml --dry-run=client | \\
    kctl set subject --local -f - --user=foo -o yaml
""",
    usage="kctl set subject (-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] "
    "[--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
)
