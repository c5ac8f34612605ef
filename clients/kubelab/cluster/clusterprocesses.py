"""The processes of a cluster that faults may act on, their nodes, and their order of dependence. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.cluster.driver import Action, ClusterStatus, Process

SUPERVISING = ("supervisor", "zygote", "tunnels")  # run a local cluster's processes; faults do not act on them
# Stopped in this order and started in reverse: each depends on those after it. Others (a machine) carry all of these.
DOWNWARDS = ("kube-proxy", "kubelet", "scheduler", "controller-manager", "api-server", "etcd", "runtime")
UPWARDS = (Action.START, Action.RESUME)


def own_processes(status: ClusterStatus) -> list[Process]:
    """Return the processes that faults may act on."""
    return [process for process in status.processes if process.component not in SUPERVISING]


def node_names(status: ClusterStatus) -> list[str]:
    """Return every node, and each machine that carries processes but no pods: a control plane of a compose cluster."""
    return list(dict.fromkeys([*(n.name for n in status.nodes), *(p.node for p in own_processes(status) if p.node)]))


def action_order(processes: Iterable[Process], action: Action) -> list[Process]:
    """Sort processes for an action: dependents first to stop them, last to start them."""
    return sorted(processes, key=_rank, reverse=action in UPWARDS)


def _rank(process: Process) -> int:
    return DOWNWARDS.index(process.component) if process.component in DOWNWARDS else len(DOWNWARDS)
