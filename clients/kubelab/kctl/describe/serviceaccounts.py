"""Service accounts, with the secrets that they name and those that are theirs."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import Writer

_TOKEN, _NAME, _UID = (
    "kubernetes.io/service-account-token",
    "kubernetes.io/service-account.name",
    "kubernetes.io/service-account.uid",
)
_NO_TITLE = " " * len("Image pull secrets:")


def describe(
    account: serviceaccounts_pb2.ServiceAccount,
    secrets: Sequence[core_pb2.Secret],
    object_events: Sequence[core_pb2.Event] | None,
    now: float,
) -> str:
    """Describe a service account. ``secrets`` are those of its namespace."""
    w = Writer()
    m = account.metadata
    w.field("Name", m.name)
    w.field("Namespace", m.namespace)
    w.labels("Labels", m.labels)
    w.annotations("Annotations", m.annotations)
    there = {secret.metadata.name for secret in secrets}
    for title, names in (
        ("Image pull secrets:", [reference.name for reference in account.imagePullSecrets]),
        ("Mountable secrets: ", [reference.name for reference in account.secrets]),
        ("Tokens:            ", [secret.metadata.name for secret in secrets if _is_token(secret, account)]),
    ):
        if not names:
            w.line(f"{title}\t<none>")
        for number, name in enumerate(names):
            missing = "" if name in there else " (not found)"
            w.line(f"{_NO_TITLE if number else title}\t{name}{missing}")
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def _is_token(secret: core_pb2.Secret, account: serviceaccounts_pb2.ServiceAccount) -> bool:
    annotations, m = secret.metadata.annotations, account.metadata
    return secret.type == _TOKEN and annotations.get(_NAME) == m.name and annotations.get(_UID) == m.uid
