"""``kctl set serviceaccount``: which account a pod template's pods run as."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from kubelab.kctl.command import Command
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.podspecs import pod_spec_of
from kubelab.kctl.session import Session
from kubelab.kctl.set import updating
from kubelab.kctl.set.flags import flags_of
from kubelab.kctl.set.updating import SetOptions, Update


def _service_account(session: Session, args: tuple[str, ...], options: SetOptions) -> int:
    if not args:
        raise UsageProblem("serviceaccount is required")
    *resources, name = args

    def change(obj: Message) -> Sequence[str]:
        pod_spec_of(obj).serviceAccountName = name
        return ()

    update = Update("serviceaccount updated", "failed to patch ServiceAccountName ", change)
    return updating.run(session, resources, options, update)


SERVICE_ACCOUNT = Command(
    "serviceaccount",
    run=_service_account,
    options=SetOptions,
    flags=flags_of("serviceaccount"),
    about="""\
Update the service account of pod template resources.

 Possible resources (case insensitive) can be:

 replicationcontroller (rc), deployment (deploy), daemonset (ds), job, replicaset (rs), statefulset""",
    examples="""\
# Set deployment web's service account to serviceaccount1
kctl set serviceaccount deployment web serviceaccount1

# Print the result (in YAML format) of the updated deployment from a local file, without hitting the API server
kctl set sa -f web.yml serviceaccount1 --local --dry-run=client -o yaml
""",
    usage="kctl set serviceaccount (-f FILENAME | TYPE NAME) SERVICE_ACCOUNT",
)
