"""Which of a cluster's processes can be acted on, what they are on, and who stands on whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.cluster.driver import Action, ClusterStatus, Process

SUPERVISING = ("supervisor", "zygote", "tunnels")  # what a local cluster's processes hang on
# Whoever stands on others goes first, and comes last; what is not named here carries all of them, as a machine does.
DOWNWARDS = ("kube-proxy", "kubelet", "scheduler", "controller-manager", "api-server", "etcd", "runtime")
UPWARDS = (Action.START, Action.RESUME)


def own_processes(status: ClusterStatus) -> list[Process]:
    """The cluster's own processes."""
    return [process for process in status.processes if process.component not in SUPERVISING]


def node_names(status: ClusterStatus) -> list[str]:
    """Every node, and what processes are on that is none for pods: a control plane of a compose cluster."""
    return list(dict.fromkeys([*(n.name for n in status.nodes), *(p.node for p in own_processes(status) if p.node)]))


def action_order(processes: Iterable[Process], action: Action) -> list[Process]:
    """In the order in which an action suits them."""
    return sorted(processes, key=_rank, reverse=action in UPWARDS)


def _rank(process: Process) -> int:
    return DOWNWARDS.index(process.component) if process.component in DOWNWARDS else len(DOWNWARDS)
