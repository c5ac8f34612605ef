"""Which of a definition's names are free (apiextensions-apiserver's naming controller). Names count within a group."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions import conditions

_ACCEPTED = "the initial names have been accepted"


def accept(crd: pb.CustomResourceDefinition, others: Iterable[pb.CustomResourceDefinition], now: float) -> None:
    """Fill in the accepted names and the conditions that follow from them. A name that another definition has is not
    accepted; one that this definition had before stays."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other.spec.group == crd.spec.group and other.metadata.name != crd.metadata.name:
            names = other.status.acceptedNames
            resources |= {names.plural, names.singular, *names.shortNames}
            kinds |= {names.kind, names.listKind}
    wanted, accepted = crd.spec.names, crd.status.acceptedNames
    conflict = ("", "")
    for field, taken, reason in (
        ("plural", resources, "PluralConflict"),
        ("singular", resources, "SingularConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        name = getattr(wanted, field)
        if name and name in taken:
            conflict = reason, f'"{name}" is already in use'
        else:
            setattr(accepted, field, name)
    taken_short = [name for name in wanted.shortNames if name in resources]
    if taken_short:
        conflict = "ShortNamesConflict", ", ".join(f'"{name}" is already in use' for name in taken_short)
    else:
        accepted.ClearField("shortNames")
        accepted.shortNames.extend(wanted.shortNames)
    accepted.ClearField("categories")
    accepted.categories.extend(wanted.categories)
    reason, message = conflict
    if reason:
        conditions.put(crd, conditions.NAMES_ACCEPTED, "False", reason, message, now)
    else:
        conditions.put(crd, conditions.NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", now)
    if conditions.is_true(crd, conditions.ESTABLISHED):
        return
    if reason:
        conditions.put(crd, conditions.ESTABLISHED, "False", "NotAccepted", "not all names are accepted", now)
    else:
        conditions.put(crd, conditions.ESTABLISHED, "True", "InitialNamesAccepted", _ACCEPTED, now)
