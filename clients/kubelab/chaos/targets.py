"""Resolve the targets of an experiment: names, whole nodes, and roles that are known at run time only. Pure.

::

    scheduler@cp-1            that process
    api-server                every process of that component
    node-2                    every process of that node
    leader of scheduler       the process that leads now: of scheduler, controller-manager or etcd
    follower of etcd          one that does not lead, the first by name
    worker                    (where a node is asked for) the first node that is not a control plane
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from kubelab.apimachinery.errors import NotFound
from kubelab.cluster.clusterprocesses import node_names, own_processes
from kubelab.cluster.driver import ClusterStatus, Process, ProcessState

LED = ("etcd", "scheduler", "controller-manager")
LEASES = {"kube-scheduler": "scheduler", "kube-controller-manager": "controller-manager"}
_ROLE = re.compile(r"(leader|follower) of (\S+)")


def etcd_leader(status: ClusterStatus) -> str:
    """Return the etcd member that leads; "" when none claims to. A single member leads itself."""
    members = [p for p in status.processes if p.component == "etcd"]
    if len(members) == 1:
        return members[0].name if members[0].state is ProcessState.RUNNING else ""
    return next((p.name for p in members if p.leader), "")


def processes(status: ClusterStatus, word: str, leaders: Mapping[str, str]) -> list[Process]:
    """Find every process that a word means. NotFound names what there is."""
    role = _ROLE.fullmatch(word.strip())
    if role:
        return [_of_role(status, role[1], role[2], leaders)]
    by_name = [p for p in status.processes if p.name == word]
    of_kind = [p for p in status.processes if p.component == word]
    of_node = [p for p in own_processes(status) if p.node == word]
    matches = by_name or of_kind or of_node
    if not matches:
        raise NotFound(missing(status, word))
    return matches


def _of_role(status: ClusterStatus, which: str, component: str, leaders: Mapping[str, str]) -> Process:
    if component not in LED:
        raise NotFound(f'"{component}" has no leader; leaders are elected among: {", ".join(LED)}')
    candidates = sorted((p for p in status.processes if p.component == component), key=lambda p: p.name)
    leader = leaders.get(component, "")
    process = next((p for p in candidates if (p.name == leader) == (which == "leader")), None)
    if process is None and which == "leader":
        raise NotFound(f"{component} has no leader now")
    if process is None:
        raise NotFound(f"{component} has no follower: this cluster has one of them")
    return process


def node(status: ClusterStatus, word: str) -> str:
    """Find a node by name, or ``worker``, ``control-plane``: the first of its kind. NotFound names what there is."""
    roles = {"worker": False, "control-plane": True}
    if word in roles:
        name = next((n.name for n in status.nodes if n.control_plane == roles[word]), None)
        if name is None:
            raise NotFound(f"this cluster has no {word} node")
        return name
    if word not in {n.name for n in status.nodes}:
        raise NotFound(f'no node "{word}"; there are: {", ".join(n.name for n in status.nodes)}')
    return word


def side(status: ClusterStatus, word: str, leaders: Mapping[str, str]) -> str:
    """One side of a partition: a node or a single process. NotFound when it is neither."""
    if word in node_names(status):
        return word
    if word in ("worker", "control-plane"):
        return node(status, word)
    matches = processes(status, word, leaders)
    if len(matches) != 1:
        raise NotFound(f'"{word}" is several processes; name one: {", ".join(p.name for p in matches)}')
    return matches[0].name


def all_others(status: ClusterStatus, source: str) -> list[str]:
    """All that a node or process could talk to: other nodes, and processes that are on no node of the cluster.

    A control plane may be no node where nothing but its processes runs there, and a load balancer belongs to none.
    """
    source_node = next((p.node for p in status.processes if p.name == source), source)
    nodes = {n.name for n in status.nodes}
    apart = [p.name for p in own_processes(status) if p.node not in nodes and source not in (p.name, p.node)]
    return [n.name for n in status.nodes if n.name != source_node] + apart


def missing(status: ClusterStatus, word: str) -> str:
    """Say that nothing is called so, what there is, and what may have been meant."""
    names = [p.name for p in status.processes]
    names += node_names(status)
    close = difflib.get_close_matches(word, [*names, *{p.component for p in status.processes}], n=1, cutoff=0.6)
    meant = f' Did you mean "{close[0]}"?' if close else ""
    return f'no process or node "{word}" in this cluster.{meant} There are: {", ".join(names)}'


def control_planes(status: ClusterStatus) -> int:
    """Count the control planes of the cluster."""
    return sum(1 for p in status.processes if p.component == "etcd")
