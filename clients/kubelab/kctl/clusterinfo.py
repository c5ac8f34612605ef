"""``kctl cluster-info``: prints the addresses of the control plane; ``dump`` prints objects and logs for debugging."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command, CommandEntry, NoOptions, unexpected
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.client.client import Client

GREEN, YELLOW, PLAIN = "\033[0;32m", "\033[0;33m", "\033[0m"
FURTHER = "To further debug and diagnose cluster problems, use 'kctl cluster-info dump'."
DUMPED_NAMESPACES = ("kube-system", "default")


def _cluster_info(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    unexpected(session, args)
    session.run(lambda client: client.server_version())  # raises where no server answers
    color = sys.stdout.isatty()
    what, where = "Kubernetes control plane", session.server
    if color:
        what, where = f"{GREEN}{what}{PLAIN}", f"{YELLOW}{where}{PLAIN}"
    print(f"{what} is running at {where}\n\n{FURTHER}")
    return 0


def _dump(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    unexpected(session, args)
    session.run(_dump_all)
    return 0


async def _dump_all(client: Client) -> None:
    from kubelab.apimachinery import scheme
    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.manifest import encode

    print(encode.to_json(encode.list_to_dict((await client.list(scheme.NODES)).items)), end="")
    for namespace in DUMPED_NAMESPACES:
        for resource in (scheme.EVENTS, scheme.REPLICATION_CONTROLLERS, scheme.SERVICES, scheme.PODS):
            listed = await client.list(resource, namespace)
            print(encode.to_json(encode.list_to_dict(listed.items)), end="")
        for pod in (await client.list(scheme.PODS, namespace)).items:
            for container in pod.spec.containers:
                title = escaped(f"container {container.name} of pod {namespace}/{pod.metadata.name}")
                print(f"==== START logs for {title} ====", flush=True)
                try:
                    await _print_log(client, namespace, pod.metadata.name, container.name)
                except ApiError as err:
                    print(f"Failed to get logs: {escaped(err.message)}", flush=True)
                print(f"==== END logs for {title} ====", flush=True)


async def _print_log(client: Client, namespace: str, pod: str, container: str) -> None:
    from kubelab.api.core.v1 import core_pb2

    chunks = client.pod_logs(namespace, pod, core_pb2.PodLogOptions(container=container))
    try:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    finally:
        await chunks.aclose()
        sys.stdout.buffer.flush()


DUMP = Command(
    "dump",
    run=_dump,
    options=NoOptions,
    about="Dump cluster information to standard output, as JSON: nodes, and events, replication controllers, services, "
    "pods and logs of the namespaces kube-system and default.",
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
