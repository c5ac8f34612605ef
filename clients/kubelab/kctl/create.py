"""``kctl create``: from files, or from flags (``create service``, ``create namespace``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kubelab.kctl import generators
from kubelab.kctl.command import Command, Entry, only_name, unexpected
from kubelab.kctl.commonflags import DRY_RUN, FILENAME, OUTPUT, RECURSIVE
from kubelab.kctl.creation import create_one
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.client.client import Client


@click.pass_context
def _create(
    ctx: click.Context,
    args: tuple[str, ...],
    filename: tuple[str, ...],
    recursive: bool,
    dry_run: str,
    output: str,
    **_: object,
) -> int:
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl import failures, files

    session: Session = ctx.obj
    unexpected(ctx, args)
    if not filename:
        raise UsageProblem("must specify one of -f and -k")
    printer = ResultPrinter.of(output, dry_run)
    documents = files.read(session, filename, recursive=recursive)
    if not documents:
        raise UsageProblem("no objects passed to create")
    if printer.dry:
        for document in documents:
            if document.resource.namespaced:
                meta_of(document.obj).namespace = document.namespace or session.likely_namespace
            print(printer.show(document.obj, "created", as_written=True), end="")
        return 0
    refused = session.run(lambda client: _create_all(client, session, documents, printer))
    sources = [document.source for document, _ in refused]
    errors = [err for _, err in refused]
    return failures.report(errors, session, lambda number: f'error when creating "{sources[number]}"')


async def _create_all(
    client: Client, session: Session, documents: Sequence[Document], printer: ResultPrinter
) -> list[tuple[Document, ApiError]]:
    """Create one after the other; a refused one does not keep the next from being tried."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl import files

    refused: list[tuple[Document, ApiError]] = []
    for document in documents:
        namespace = files.namespace_of(document, session)
        if namespace:
            meta_of(document.obj).namespace = namespace
        meta_of(document.obj).ClearField("resourceVersion")  # of `kctl get -o yaml`, say: kubectl takes it out, too
        try:
            created = await client.create(document.obj, namespace)
        except ApiError as err:
            refused.append((document, err))
        else:
            print(printer.show(created, "created"), end="", flush=True)
    return refused


CREATE = Command(
    "create",
    callback=_create,
    flags=(DRY_RUN, FILENAME, OUTPUT, RECURSIVE),
    children=(
        Entry("namespace", "Create a namespace with the specified name", "create:NAMESPACE", aliases=("ns",)),
        Entry("service", "Create a service using a specified subcommand", "create:SERVICE", aliases=("svc",)),
    ),
    about="Create a resource from a file or from stdin.\n\n JSON and YAML formats are accepted.",
    examples="""\
# Create a pod using the data in pod.yml
kctl create -f ./pod.yml

# Create a pod based on the YAML passed into stdin
cat pod.yml | kctl create -f -
""",
    usage="kctl create -f FILENAME",
)


@click.pass_context
def _create_namespace(ctx: click.Context, args: tuple[str, ...], dry_run: str, output: str, **_: object) -> int:
    return create_one(ctx.obj, generators.namespace(only_name(ctx, args)), ResultPrinter.of(output, dry_run))


NAMESPACE = Command(
    "namespace",
    callback=_create_namespace,
    flags=(DRY_RUN, OUTPUT),
    about="Create a namespace with the specified name.",
    examples="# Create a new namespace named my-namespace\nkctl create namespace my-namespace",
    usage="kctl create namespace NAME [--dry-run=client|none]",
)

SERVICE = Command(
    "service",
    children=(
        Entry("clusterip", "Create a ClusterIP service", "create:CLUSTER_IP"),
        Entry("externalname", "Create an ExternalName service", "create:EXTERNAL_NAME"),
        Entry("loadbalancer", "Create a LoadBalancer service", "create:LOAD_BALANCER"),
        Entry("nodeport", "Create a NodePort service", "create:NODE_PORT"),
    ),
    about="Create a service using a specified subcommand.",
    usage="kctl create service [flags]",
)

TCP = Flag("--tcp", kind="csv", help="Port pairs can be specified as '<port>:<targetPort>'.")


def _service(kind: str, *flags: Flag, more: str = "") -> Command:
    name = kind.lower()
    article = "an" if kind[0] in "AEIOU" else "a"

    @click.pass_context
    def create(
        ctx: click.Context,
        args: tuple[str, ...],
        dry_run: str,
        output: str,
        tcp: tuple[str, ...],
        clusterip: str = "",
        node_port: int = 0,
        external_name: str = "",
        **_: object,
    ) -> int:
        service = generators.service(
            only_name(ctx, args),
            kind,
            tcp=tcp,
            cluster_ip=clusterip,
            node_port=node_port,
            external_name=external_name,
        )
        return create_one(
            ctx.obj,
            service,
            ResultPrinter.of(output, dry_run),
            failing=lambda message: f"error: failed to create {kind} service: {message}",
        )

    return Command(
        name,
        callback=create,
        flags=(*flags, DRY_RUN, OUTPUT),
        about=f"Create {article} {kind} service with the specified name.",
        examples=f"# Create a new {kind} service named my-service\nkctl create service {name} my-service {more}",
        usage=f"kctl create service {name} NAME [--tcp=<port>:<targetPort>] [--dry-run=client|none]",
    )


CLUSTER_IP = _service(
    "ClusterIP",
    TCP,
    Flag("--clusterip", help="Assign your own ClusterIP or set to 'None' for a 'headless' service (no loadbalancing)."),
    more="--tcp=5678:8080",
)
NODE_PORT = _service(
    "NodePort",
    TCP,
    Flag("--node-port", kind="int", default=0, help="Port used to expose the service on each node in a cluster."),
    more="--tcp=5678:8080",
)
LOAD_BALANCER = _service("LoadBalancer", TCP, more="--tcp=5678:8080")
EXTERNAL_NAME = _service(
    "ExternalName",
    TCP,
    Flag("--external-name", required=True, help="External name of service"),
    more="--external-name=example.com",
)
