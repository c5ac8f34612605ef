"""The generators of kubectl that kctl does not have yet: each says so by name, whatever its flags."""

from __future__ import annotations

import click

from kubelab.kctl.command import Command, NoOptions
from kubelab.kctl.session import Failed, Session

_RBAC = "kubelab does not decide by roles yet (`kctl create -f` stores them); docs/security.md says who may do what"


class _Later(Command):
    """A command that reads no flag but --help: those of kubectl are not wrong, they are of no use yet."""

    def __init__(self, name: str, why: str) -> None:
        def refuse(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
            del session, args, options
            raise Failed(f"error: cannot create a {name}: {why}")

        super().__init__(
            name, run=refuse, options=NoOptions, about=f"Not there yet: {why}.", usage=f"kctl create {name}"
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [word for word in args if word in ("-h", "--help")])


ROLE = _Later("role", _RBAC)
ROLE_BINDING = _Later("rolebinding", _RBAC)
CLUSTER_ROLE = _Later("clusterrole", _RBAC)
CLUSTER_ROLE_BINDING = _Later("clusterrolebinding", _RBAC)
