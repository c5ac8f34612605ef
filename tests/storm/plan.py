"""What a storm does, from a seed: the same seed does the same to every cluster of the same shape. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubelab.cluster.clusterprocesses import SUPERVISING, node_names, own_processes
from kubelab.cluster.driver import ClusterStatus

KILL, STOP, PAUSE, PARTITION, CRASH = "kill", "stop", "pause", "partition", "crash"
SECONDS = (0.5, 6.0)  # how long a fault lasts that is not a moment; a silent node is believed for 50 s
CALLS = (  # who talks to whom
    ("api-server", "etcd"),
    ("etcd", "etcd"),
    ("kubelet", "api-server"),
    ("kube-proxy", "api-server"),
    ("scheduler", "api-server"),
    ("controller-manager", "api-server"),
)
GUARDIANS = 0.1  # of the rounds: one of the processes that a local cluster's processes hang on, and nothing else
WEIGHTS = {KILL: 4, STOP: 2, PAUSE: 4, PARTITION: 5, CRASH: 1}


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault. ``target`` and ``other`` are processes or nodes; a crash of a container names neither.

    ``seconds`` is 0 for what is over at once.
    """

    kind: str
    target: str = ""
    other: str = ""
    one_way: bool = False
    seconds: float = 0.0

    @property
    def on_guardian(self) -> bool:
        """Whether it is on the supervisor, the zygote or the tunnels, which the supervisor has no action for."""
        return self.target in SUPERVISING

    @property
    def touched(self) -> frozenset[str]:
        """What it is on. All crashes are on the same: two of one round would find the same container."""
        return frozenset({"a container"} if self.kind == CRASH else {self.target, self.other} - {""})

    @property
    def touches_traffic(self) -> bool:
        """Whether requests to pods may fail by it: a whole node is cut off, a pod ends, or what carries them stops."""
        return self.kind == CRASH or self.target == "tunnels" or (self.kind == PARTITION and "@" not in self.target)

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        if self.kind == PARTITION:
            return f"{self.kind} {self.target} {'→' if self.one_way else '↔'} {self.other}{lasting}"
        return f"{self.kind} {self.target or 'a container of the service'}{lasting}"


def rounds(seed: int, status: ClusterStatus) -> Iterator[tuple[Blow, ...]]:
    """Give round after round without end; the faults of one round overlap."""
    dice = random.Random(seed)
    processes = sorted(p.name for p in own_processes(status))
    nodes = sorted(node_names(status))
    guardians = sorted(p.name for p in status.processes if p.component in SUPERVISING)
    while True:
        if guardians and dice.random() < GUARDIANS:
            yield (_of_process(dice, dice.choice((KILL, PAUSE)), guardians),)
            continue
        count = dice.choices((1, 2, 3), (5, 3, 1))[0]
        chosen: list[Blow] = []
        for _ in range(count):
            blow = _blow(dice, processes, nodes)
            if not any(blow.touched & other.touched for other in chosen):
                chosen.append(blow)
        yield tuple(chosen)


def _blow(dice: random.Random, processes: Sequence[str], nodes: Sequence[str]) -> Blow:
    kind = dice.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
    if kind == CRASH:
        return Blow(kind)
    if kind in (KILL, STOP, PAUSE):
        return _of_process(dice, kind, processes)
    seconds = round(dice.uniform(*SECONDS), 1)
    one_way = dice.random() < 0.3
    if dice.random() < 0.3:
        target, other = dice.sample(nodes, 2)
        return Blow(kind, target, other, one_way, seconds)
    caller, callee = dice.choice(CALLS)
    target = dice.choice([p for p in processes if p.startswith(f"{caller}@")])
    other = dice.choice([p for p in processes if p.startswith(f"{callee}@") and p != target])
    return Blow(kind, target, other, one_way, seconds)


def _of_process(dice: random.Random, kind: str, processes: Sequence[str]) -> Blow:
    seconds = round(dice.uniform(*SECONDS), 1)
    return Blow(kind, dice.choice(processes), seconds=0.0 if kind == KILL else seconds)
