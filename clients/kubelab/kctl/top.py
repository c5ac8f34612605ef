"""``kctl top``: what nodes and pods use. kubelab serves no Metrics API, so both say what kubectl says without one."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.kctl.command import Command, CommandEntry
from kubelab.kctl.commonflags import ALL_NAMESPACES, FIELD_SELECTOR, SELECTOR
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

METRICS = "metrics.k8s.io"
NOT_AVAILABLE = "error: Metrics API not available"
_PROTOBUF = Flag(
    "--use-protocol-buffers", kind="bool", default=True, help="Enables using protocol-buffers to access Metrics API."
)


@dataclass(frozen=True, slots=True)
class TopNodeOptions:
    no_headers: bool
    selector: str
    show_capacity: bool
    sort_by: str
    use_protocol_buffers: bool


@dataclass(frozen=True, slots=True)
class TopPodOptions:
    all_namespaces: bool
    containers: bool
    field_selector: str
    no_headers: bool
    selector: str
    sort_by: str
    sum: bool
    use_protocol_buffers: bool


def _top(session: Session, args: tuple[str, ...], options: TopNodeOptions | TopPodOptions) -> int:
    if options.sort_by not in ("", "cpu", "memory"):
        raise Failed("error: --sort-by accepts only cpu or memory")
    if len(args) > 1 or (args and options.selector):
        raise Failed("error: only one of NAME or --selector can be provided")
    if not any(r.group == METRICS for r in session.run(lambda client: client.server_resources())):
        raise Failed(NOT_AVAILABLE)
    raise Failed(f"error: kctl reads no {METRICS}; use kubectl")


NODE = Command(
    "node",
    run=_top,
    options=TopNodeOptions,
    flags=(
        Flag("--no-headers", kind="bool", help="If present, print output without headers"),
        SELECTOR,
        Flag(
            "--show-capacity",
            kind="bool",
            help="Print node resources based on Capacity instead of Allocatable(default) of the nodes.",
        ),
        Flag(
            "--sort-by",
            help="If non-empty, sort nodes list using specified field. The field can be either 'cpu' or 'memory'.",
        ),
        _PROTOBUF,
    ),
    about="Display resource (CPU/memory) usage of nodes.\n\n"
    " The top-node command allows you to see the resource consumption of nodes.",
    examples="# Show metrics for all nodes\nkctl top node\n\n# Show metrics for a given node\nkctl top node NODE_NAME",
    usage="kctl top node [NAME | -l label]",
)
POD = Command(
    "pod",
    run=_top,
    options=TopPodOptions,
    flags=(
        ALL_NAMESPACES,
        Flag("--containers", kind="bool", help="If present, print usage of containers within a pod."),
        FIELD_SELECTOR,
        Flag("--no-headers", kind="bool", help="If present, print output without headers."),
        SELECTOR,
        Flag(
            "--sort-by",
            help="If non-empty, sort pods list using specified field. The field can be either 'cpu' or 'memory'.",
        ),
        Flag("--sum", kind="bool", help="Print the sum of the resource usage"),
        _PROTOBUF,
    ),
    about="Display resource (CPU/memory) usage of pods.\n\n"
    " The 'top pod' command allows you to see the resource consumption of pods.",
    examples="# Show metrics for all pods in the default namespace\nkctl top pod\n\n"
    "# Show metrics for a given pod and its containers\nkctl top pod POD_NAME --containers",
    usage="kctl top pod [NAME | -l label]",
)
TOP = Command(
    "top",
    children=(
        CommandEntry("node", "Display resource (CPU/memory) usage of nodes", "top:NODE", aliases=("nodes", "no")),
        CommandEntry("pod", "Display resource (CPU/memory) usage of pods", "top:POD", aliases=("pods", "po")),
    ),
    about="Display resource (CPU/memory) usage.\n\n"
    " This command requires Metrics Server to be correctly configured and working on the server. kubelab has none.",
    usage="kctl top [flags]",
)
