"""``kctl auth reconcile``: makes roles and bindings hold what files say, rule by rule and subject by subject."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, KUSTOMIZE, OUTPUT, RECURSIVE, FilenameOptions, require_files
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.api.rbac.v1 import rbac_pb2
    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.apimachinery.rbac.reconciliation import Reconciled
    from kubelab.apimachinery.rbac.rules import Rule
    from kubelab.client.client import Client

TRIES = 3  # where another client writes the same object


@dataclass(frozen=True, slots=True)
class ReconcileOptions(FilenameOptions):
    dry_run: str
    kustomize: str
    output: str
    remove_extra_permissions: bool
    remove_extra_subjects: bool


def _reconcile(session: Session, args: tuple[str, ...], options: ReconcileOptions) -> int:
    from kubelab.kctl import files

    require_files(options.filename, options.kustomize)
    if args:
        raise UsageProblem("no arguments are allowed")
    if options.dry_run == "server":
        raise UsageProblem("--dry-run=server for auth reconcile is not supported yet")
    reconciler = _Reconciler(session, options)
    documents = [document for document in files.read(session, options) if document.resource.group == RBAC]
    return visitor.run(session, lambda client: visitor.continue_on_error(documents, reconciler.visiting(client)))


RBAC = "rbac.authorization.k8s.io"


class _Reconciler:
    def __init__(self, session: Session, options: ReconcileOptions) -> None:
        self._session, self._options = session, options
        self._printer = ResultPrinter.of(options.output, options.dry_run)

    def visiting(self, client: Client) -> Any:
        """Give what reconciles one document."""

        async def visit(document: Document) -> None:
            self._print(await self._reconcile(client, document))

        return visit

    async def _reconcile(self, client: Client, document: Document) -> Reconciled[Any]:
        """Say what has to be done with one object, and do it unless this is a dry run."""
        from kubelab.apimachinery.errors import AlreadyExists, Conflict, NotFound
        from kubelab.apimachinery.meta import meta_of
        from kubelab.apimachinery.rbac.reconciliation import Operation
        from kubelab.kctl import files

        m = meta_of(document.obj)
        m.namespace = files.namespace_of(document, self._session)
        for left in reversed(range(TRIES)):
            try:
                existing: Any = await client.get(document.resource, m.name, m.namespace)
            except NotFound:
                existing = None
            result = self._compare(existing, document.obj)
            if self._printer.dry or result.protected or result.operation is Operation.NONE:
                return result
            try:
                result.obj = await self._write(client, document, result)
            except (AlreadyExists, Conflict, NotFound):
                if not left:
                    raise
            else:
                return result
        raise AssertionError("unreachable")

    def _compare(self, existing: Any, expected: Any) -> Reconciled[Any]:
        from kubelab.api.rbac.v1 import rbac_pb2
        from kubelab.apimachinery.rbac.reconciliation import reconcile_binding, reconcile_role

        if isinstance(expected, rbac_pb2.Role | rbac_pb2.ClusterRole):
            extra = self._options.remove_extra_permissions
            return reconcile_role(existing, expected, remove_extra=extra)  # pyright: ignore[reportArgumentType]
        return reconcile_binding(existing, expected, remove_extra=self._options.remove_extra_subjects)

    async def _write(self, client: Client, document: Document, result: Reconciled[Any]) -> Any:
        from kubelab.api.core.v1 import core_pb2
        from kubelab.apimachinery.errors import AlreadyExists, Forbidden
        from kubelab.apimachinery.meta import meta_of
        from kubelab.apimachinery.rbac.reconciliation import Operation

        m = meta_of(result.obj)
        if result.operation is Operation.UPDATE:
            return await client.update(result.obj)
        if result.operation is Operation.RECREATE:
            await client.delete(document.resource, m.name, m.namespace)
        elif m.namespace:
            namespace = core_pb2.Namespace()
            namespace.metadata.name = m.namespace
            with contextlib.suppress(AlreadyExists, Forbidden):  # where it is missing, the next write says so
                await client.create(namespace)
        return await client.create(result.obj, m.namespace)

    def _print(self, result: Reconciled[Any]) -> None:
        from kubelab.apimachinery.rbac.reconciliation import Operation

        print(self._printer.show(result.obj, "reconciled"), end="", flush=True)
        if result.operation is Operation.NONE:
            return
        caveat = ", but object opted out (rbac.authorization.kubernetes.io/autoupdate: false)"
        lines = [f"\treconciliation required {result.operation.value}{caveat if result.protected else ''}"]
        lines += _listed("missing subjects added", map(_subject, result.missing_subjects))
        if self._options.remove_extra_subjects:
            lines += _listed("extra subjects removed", map(_subject, result.extra_subjects))
        lines += _listed("missing rules added", map(_rule, result.missing_rules))
        if self._options.remove_extra_permissions:
            lines += _listed("extra rules removed", map(_rule, result.extra_rules))
        print("\n".join(lines), file=sys.stderr)


def _listed(what: str, items: Iterable[str]) -> list[str]:
    lines = [f"\t\t{item}" for item in items]
    return [f"\t{what}:", *lines] if lines else []


def _subject(one: rbac_pb2.Subject) -> str:
    return f"{{Kind:{one.kind} APIGroup:{one.apiGroup} Name:{one.name} Namespace:{one.namespace}}}"


def _rule(rule: Rule) -> str:
    parts = (
        ("Verbs", rule.verbs),
        ("APIGroups", rule.groups),
        ("Resources", rule.resources),
        ("ResourceNames", rule.names),
        ("NonResourceURLs", rule.urls),
    )
    return "{" + " ".join(f"{name}:[{' '.join(words)}]" for name, words in parts) + "}"


RECONCILE = Command(
    "reconcile",
    run=_reconcile,
    options=ReconcileOptions,
    flags=(
        DRY_RUN,
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files identifying the resource to reconcile.",
        ),
        KUSTOMIZE,
        OUTPUT,
        RECURSIVE,
        Flag("--remove-extra-permissions", kind="bool", help="If true, removes extra permissions added to roles"),
        Flag("--remove-extra-subjects", kind="bool", help="If true, removes extra subjects added to rolebindings"),
    ),
    about="Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects.\n\n Missing "
    "objects are created, and the containing namespace is created for namespaced objects, if required.\n\n Existing "
    "roles are updated to include the permissions in the input objects, and remove extra permissions if "
    "--remove-extra-permissions is specified.\n\n Existing bindings are updated to include the subjects in the input "
    "objects, and remove extra subjects if --remove-extra-subjects is specified.\n\n This is preferred to 'apply' for "
    "RBAC resources so that semantically-aware merging of rules and subjects is done.",
    examples="# Reconcile RBAC resources from a file\nkctl auth reconcile -f my-rbac-rules.yaml",
    usage="kctl auth reconcile -f FILENAME",
)
