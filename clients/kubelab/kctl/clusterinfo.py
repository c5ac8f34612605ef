"""``kctl cluster-info``: prints the addresses of the control plane; ``dump`` prints objects and logs for debugging."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command, CommandEntry, NoOptions, unexpected
from kubelab.kctl.commonflags import ALLOW_MISSING_TEMPLATE_KEYS, OUTPUT, SHOW_MANAGED_FIELDS, TEMPLATE
from kubelab.kctl.documentprinters import DocumentPrinter, PrintFlags, printer_of
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

GREEN, YELLOW, PLAIN = "\033[0;32m", "\033[0;33m", "\033[0m"
FURTHER = "To further debug and diagnose cluster problems, use 'kctl cluster-info dump'."
SYSTEM = "kube-system"
DUMPED_WORKLOADS = ("DaemonSet", "Deployment", "ReplicaSet")


def _cluster_info(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    unexpected(session, args)
    session.run(lambda client: client.server_version())  # raises where no server answers
    color = sys.stdout.isatty()
    what, where = "Kubernetes control plane", session.server
    if color:
        what, where = f"{GREEN}{what}{PLAIN}", f"{YELLOW}{where}{PLAIN}"
    print(f"{what} is running at {where}\n\n{FURTHER}")
    return 0


@dataclass(frozen=True, slots=True)
class DumpOptions:
    all_namespaces: bool
    allow_missing_template_keys: bool
    namespaces: tuple[str, ...]
    output: str
    output_directory: str
    pod_running_timeout: float
    show_managed_fields: bool
    template: str


def _dump(session: Session, args: tuple[str, ...], options: DumpOptions) -> int:
    unexpected(session, args)
    output = options.output or ("" if options.template else "json")
    flags = PrintFlags(output, options.template, options.allow_missing_template_keys, options.show_managed_fields)
    folder = None if options.output_directory in ("", "-") else Path(options.output_directory)
    dump = Dump(printer_of(flags), ".yaml" if output == "yaml" else ".json" if output == "json" else ".txt", folder)
    namespaces = list(options.namespaces) or [SYSTEM, session.namespace]
    session.run(lambda client: dump.run(client, None if options.all_namespaces else dict.fromkeys(namespaces)))
    if folder is not None:
        print(f"Cluster info dumped to {escaped(str(folder))}")
    return 0


class Dump:
    """Writes objects and logs, to standard output or into files of a folder: one for nodes, then a folder for each
    namespace and in it one for each pod's logs."""

    def __init__(self, printer: DocumentPrinter, extension: str, folder: Path | None) -> None:
        self._printer, self._extension, self._folder = printer, extension, folder

    async def run(self, client: Client, namespaces: Iterable[str] | None) -> None:
        """Dump the nodes and the namespaces, all of them where there is None."""
        from kubelab.apimachinery import scheme

        if namespaces is None:
            namespaces = [n.metadata.name for n in (await client.list(scheme.NAMESPACES)).items]
        await self._list(client, scheme.NODES, "")
        for namespace in namespaces:
            for resource in (
                scheme.EVENTS,
                scheme.REPLICATION_CONTROLLERS,
                scheme.SERVICES,
                *(r for r in scheme.ALL if r.group == "apps" and r.kind in DUMPED_WORKLOADS),
                scheme.PODS,
            ):
                await self._list(client, resource, namespace)
            for pod in (await client.list(scheme.PODS, namespace)).items:
                await self._logs(client, pod)

    async def _list(self, client: Client, resource: Resource[Message], namespace: str) -> None:
        from kubelab.apimachinery.manifest import encode

        document = encode.list_to_dict((await client.list(resource, namespace)).items)
        with self._writer(namespace, resource.plural + self._extension) as write:
            write(self._printer.render(document).encode())

    async def _logs(self, client: Client, pod: core_pb2.Pod) -> None:
        from kubelab.apimachinery.errors import ApiError

        namespace, name = pod.metadata.namespace, pod.metadata.name
        with self._writer(namespace, f"{name}/logs.txt") as write:
            for container in pod.spec.containers:
                title = escaped(f"container {container.name} of pod {namespace}/{name}")
                write(f"==== START logs for {title} ====\n".encode())
                try:
                    await _write_log(client, namespace, name, container.name, write)
                except ApiError as err:
                    write(f"Failed to get logs: {escaped(err.message)}\n".encode())
                write(f"==== END logs for {title} ====\n".encode())

    @contextlib.contextmanager
    def _writer(self, namespace: str, file: str) -> Generator[Callable[[bytes], object]]:
        if self._folder is None:
            yield sys.stdout.buffer.write
            sys.stdout.buffer.flush()
            return
        path = self._folder / namespace / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as opened:
                yield opened.write
        except OSError as err:
            raise Failed(f"error: {escaped(str(path))}: {err.strerror}") from err


async def _write_log(
    client: Client, namespace: str, pod: str, container: str, write: Callable[[bytes], object]
) -> None:
    from kubelab.api.core.v1 import core_pb2

    chunks = client.pod_logs(namespace, pod, core_pb2.PodLogOptions(container=container))
    try:
        async for chunk in chunks:
            write(chunk)
    finally:
        await chunks.aclose()


DUMP = Command(
    "dump",
    run=_dump,
    options=DumpOptions,
    flags=(
        Flag(
            "--all-namespaces",
            "-A",
            kind="bool",
            help="If true, dump all namespaces.  If true, --namespaces is ignored.",
        ),
        ALLOW_MISSING_TEMPLATE_KEYS,
        Flag("--namespaces", kind="csv", help="A comma separated list of namespaces to dump."),
        OUTPUT,
        Flag(
            "--output-directory",
            help="Where to output the files.  If empty or '-' uses stdout, otherwise creates a directory hierarchy in "
            "that directory",
        ),
        Flag(
            "--pod-running-timeout",
            kind="duration",
            default=20.0,
            help="kubectl's; kctl dumps the logs that there are and waits for no pod.",
        ),
        SHOW_MANAGED_FIELDS,
        TEMPLATE,
    ),
    about="""\
Dump cluster information out suitable for debugging and diagnosing cluster problems.  By default, dumps everything to \
stdout. You can optionally specify a directory with --output-directory.  By default, only dumps things in the current \
namespace and 'kube-system' namespace, but you can switch to a different namespace with the --namespaces flag, or \
specify --all-namespaces to dump all namespaces.

 The command also dumps the logs of all of the pods in the cluster.""",
    examples="""\
# Dump current cluster state to stdout
kctl cluster-info dump

# Dump current cluster state to /path/to/cluster-state
kctl cluster-info dump --output-directory=/path/to/cluster-state

# Dump all namespaces to stdout
kctl cluster-info dump --all-namespaces

# Dump a set of namespaces to /path/to/cluster-state
kctl cluster-info dump --namespaces default,kube-system --output-directory=/path/to/cluster-state""",
    usage="kctl cluster-info dump",
)
CLUSTER_INFO = Command(
    "cluster-info",
    run=_cluster_info,
    options=NoOptions,
    children=(CommandEntry("dump", "Dump relevant information for debugging and diagnosis", "clusterinfo:DUMP"),),
    about=f"Display addresses of the control plane.\n {FURTHER}",
    examples="# Print the address of the control plane\nkctl cluster-info",
    usage="kctl cluster-info",
)
