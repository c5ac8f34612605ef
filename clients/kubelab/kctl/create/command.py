"""The command line of ``kctl create -f``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import builder, recording
from kubelab.kctl.command import Command, CommandEntry, unexpected
from kubelab.kctl.commonflags import (
    DRY_RUN,
    FILENAME,
    OUTPUT,
    RECURSIVE,
    SAVE_CONFIG,
    SELECTOR,
    VALIDATE,
    FilenameOptions,
    field_manager,
    field_validation,
)
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.recording import RECORD
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class CreateFileOptions(FilenameOptions):
    dry_run: str
    edit: bool
    field_manager: str
    output: str
    raw: str
    record: bool
    save_config: bool
    selector: str
    validate: str
    windows_line_endings: bool


def _create(session: Session, args: tuple[str, ...], options: CreateFileOptions) -> int:
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl import failures, files

    recording.warn(session)
    unexpected(session, args)
    if options.raw and options.edit:
        raise UsageProblem("--raw and --edit are mutually exclusive")
    if not options.filename:
        raise UsageProblem("must specify one of -f and -k")
    if options.raw:
        from kubelab.kctl import rawwrites

        wanted = rawwrites.request_of(options.raw, options, output=options.output, selector=options.selector)
        return rawwrites.create(session, wanted)
    validation = field_validation(options.validate)
    printer = ResultPrinter.of(options.output, options.dry_run)
    chosen = builder.requirements_of(options.selector)
    documents = [d for d in files.read(session, options, validation) if chosen.matches(meta_of(d.obj).labels)]
    if not documents:
        raise UsageProblem("no objects passed to create")
    if options.edit:
        documents = _edited(session, documents, options)
        if not documents:
            return 0
    if printer.dry:
        for document in documents:
            if document.resource.namespaced:
                meta_of(document.obj).namespace = document.namespace or session.likely_namespace
            print(printer.show(document.obj, "created", as_written=True), end="")
        return 0
    refused = session.run(lambda client: _create_all(client, session, documents, options, printer))
    sources = [document.source for document, _ in refused]
    errors = [err for _, err in refused]
    return failures.report(errors, session, lambda number: f'error when creating "{sources[number]}"')


def _edited(session: Session, documents: Sequence[Document], options: CreateFileOptions) -> list[Document]:
    """Let the user edit one object after the other; those that stay as they are, or become empty, are left out."""
    from kubelab.kctl.edit import before

    edited: list[Document] = []
    for document in documents:
        edited += before.edit(session, document, windows=options.windows_line_endings, as_json=options.output == "json")
    return edited


async def _create_all(
    client: Client,
    session: Session,
    documents: Sequence[Document],
    options: CreateFileOptions,
    printer: ResultPrinter,
) -> list[tuple[Document, ApiError]]:
    """Create one after the other; a refused one does not keep the next from being tried."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl import files
    from kubelab.kctl.apply import lastapplied

    refused: list[tuple[Document, ApiError]] = []
    for document in documents:
        namespace = files.namespace_of(document, session)
        if namespace:
            meta_of(document.obj).namespace = namespace
        lastapplied.create_or_update(document, namespace, create=options.save_config)
        if options.record:
            recording.record(session, document.obj)
        meta_of(document.obj).ClearField("resourceVersion")  # of `kctl get -o yaml`, say: kubectl takes it out, too
        try:
            created = await client.create(
                document.obj,
                namespace,
                dry_run=printer.server,
                field_manager=options.field_manager,
                field_validation=field_validation(options.validate),
            )
        except ApiError as err:
            refused.append((document, err))
        else:
            print(printer.show(created, "created"), end="", flush=True)
    return refused


CREATE = Command(
    "create",
    run=_create,
    options=CreateFileOptions,
    flags=(
        DRY_RUN,
        Flag("--edit", kind="bool", help="Edit the API resource before creating"),
        field_manager("create"),
        FILENAME,
        OUTPUT,
        Flag("--raw", help="Raw URI to POST to the server.  Uses the transport specified by the kubeconfig file."),
        RECORD,
        RECURSIVE,
        SAVE_CONFIG,
        SELECTOR,
        VALIDATE,
        Flag("--windows-line-endings", kind="bool", help="Only relevant if --edit=true. Ends lines with CR LF."),
    ),
    children=(
        CommandEntry("clusterrole", "Create a cluster role", "create.rbac.clusterrole:CLUSTER_ROLE"),
        CommandEntry(
            "clusterrolebinding",
            "Create a cluster role binding for a particular cluster role",
            "create.rbac.bindings:CLUSTER_ROLE_BINDING",
        ),
        CommandEntry(
            "configmap",
            "Create a config map from a local file, directory or literal value",
            "create.configmap:CONFIG_MAP",
            aliases=("cm",),
        ),
        CommandEntry(
            "cronjob", "Create a cron job with the specified name", "create.cronjob:CRON_JOB", aliases=("cj",)
        ),
        CommandEntry("job", "Create a job with the specified name", "create.job:JOB"),
        CommandEntry(
            "ingress", "Create an ingress with the specified name", "create.ingress:INGRESS", aliases=("ing",)
        ),
        CommandEntry(
            "deployment",
            "Create a deployment with the specified name",
            "create.deployment:DEPLOYMENT",
            aliases=("deploy",),
        ),
        CommandEntry(
            "namespace", "Create a namespace with the specified name", "create.namespace:NAMESPACE", aliases=("ns",)
        ),
        CommandEntry(
            "poddisruptionbudget",
            "Create a pod disruption budget with the specified name",
            "create.poddisruptionbudget:POD_DISRUPTION_BUDGET",
            aliases=("pdb",),
        ),
        CommandEntry(
            "priorityclass",
            "Create a priority class with the specified name",
            "create.priorityclass:PRIORITY_CLASS",
            aliases=("pc",),
        ),
        CommandEntry(
            "quota", "Create a quota with the specified name", "create.quota:QUOTA", aliases=("resourcequota",)
        ),
        CommandEntry("role", "Create a role with single rule", "create.rbac.role:ROLE"),
        CommandEntry(
            "rolebinding",
            "Create a role binding for a particular role or cluster role",
            "create.rbac.bindings:ROLE_BINDING",
        ),
        CommandEntry("secret", "Create a secret using a specified subcommand", "create.secret:SECRET"),
        CommandEntry(
            "serviceaccount",
            "Create a service account with the specified name",
            "create.serviceaccount:SERVICE_ACCOUNT",
            aliases=("sa",),
        ),
        CommandEntry(
            "service", "Create a service using a specified subcommand", "create.service:SERVICE", aliases=("svc",)
        ),
        CommandEntry("token", "Request a service account token", "create.token:TOKEN"),
    ),
    about="Create a resource from a file or from stdin.\n\n JSON and YAML formats are accepted.",
    examples="""\
# Create a pod using the data in pod.yml
kctl create -f ./pod.yml

# Create a pod based on the YAML passed into stdin
cat pod.yml | kctl create -f -

# Edit the data in pod.yml in JSON then create the resource using the edited data
kctl create -f pod.yml --edit -o json
""",
    usage="kctl create -f FILENAME",
)
